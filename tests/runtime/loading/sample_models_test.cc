// The models that come with paramd, from file to answer, on every backend and
// on the reference alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "nlohmann/json.hpp"
#include "runtime/backends/backend_list.h"
#include "runtime/tensor/npy.h"
#include "tests/support/model_runner.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

const char kDigits[] = "deploy/models/digits/1";
const char kHousePrice[] = "deploy/models/house-price/1";
const char kEfficientNet[] = "tests/golden/efficientnet-lite0";

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  return nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
}

// "all": as in the product; "reference": the reference alone.
ModelLoadOptions OptionsFor(const std::string& backends) {
  ModelLoadOptions options;
  if (backends == "reference") options.backends = AllBackends().last(1);
  return options;
}

double RelativeError(const TensorView& a, const TensorView& b) {
  if (a.dtype != b.dtype || !(a.shape == b.shape)) return HUGE_VAL;
  double worst = 0, scale = 0;
  for (size_t i = 0; i < a.as<float>().size(); ++i) {
    worst = std::max<double>(worst, std::abs(a.as<float>()[i] - b.as<float>()[i]));
    scale = std::max<double>(scale, std::abs(b.as<float>()[i]));
  }
  return worst == 0 ? 0 : worst / scale;
}

double Cosine(const TensorView& a, const TensorView& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.as<float>().size(); ++i) {
    const double x = a.as<float>()[i], y = b.as<float>()[i];
    ab += x * y, aa += x * x, bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

// Rows [begin, begin + count) of a tensor of many rows.
Tensor Rows(const Tensor& tensor, int64_t begin, int64_t count) {
  Shape shape = tensor.shape();
  const uint64_t row = tensor.view().bytes() / static_cast<uint64_t>(shape.dim(0));
  shape.set_dim(0, count);
  TensorView view = tensor.view();
  view.shape = shape;
  view.data = static_cast<const std::byte*>(view.data) + static_cast<uint64_t>(begin) * row;
  return Tensor::CopyOf(view);
}

class SampleModels : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Backends, SampleModels, testing::Values("all", "reference"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(SampleModels, DigitsAnswersAsRecorded) {
  ModelRunner runner;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded,
                       runner.LoadFile(kDigits, "model.onnx", OptionsFor(GetParam())));
  const ModelDescription& description = loaded.model->description();
  ASSERT_EQ(description.inputs.size(), 1u);
  EXPECT_EQ(description.inputs[0].name, "pixels");
  EXPECT_EQ(ToString(description.inputs[0].shape), "[N,64]");
  EXPECT_EQ(description.outputs[0].name, "probabilities");
  EXPECT_EQ(loaded.model->parameters().counts().of(ParameterRole::kWeight), 9472);
  EXPECT_EQ(loaded.model->parameters().counts().of(ParameterRole::kBias), 138);
  EXPECT_GT(description.batch_rows_max, 0) << description.batching_reason;

  const nlohmann::json samples = ReadJson("deploy/models/digits/samples.json")["samples"];
  ASSERT_FALSE(samples.empty());
  std::vector<float> pixels;
  for (const auto& sample : samples) {
    for (const float pixel : sample["pixels"]) pixels.push_back(pixel);
  }
  const auto rows = static_cast<int64_t>(samples.size());
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{rows, 64}, pixels));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> outputs, RunModel(*loaded.model, inputs));
  ASSERT_EQ(outputs[0].shape(), (Shape{rows, 10}));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t digit = 0; digit < 10; ++digit) {
      const float want =
          samples[static_cast<size_t>(row)]["probabilities"][static_cast<size_t>(digit)];
      EXPECT_NEAR(outputs[0].view().as<float>()[static_cast<size_t>(row * 10 + digit)], want, 1e-4);
    }
  }
}

TEST_P(SampleModels, HousePriceAnswersAsRecordedAndCountsThreeParameters) {
  ModelRunner runner;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded,
                       runner.LoadFile(kHousePrice, "model.onnx", OptionsFor(GetParam())));
  EXPECT_EQ(loaded.model->parameters().counts().of(ParameterRole::kWeight), 2);
  EXPECT_EQ(loaded.model->parameters().counts().of(ParameterRole::kBias), 1);
  const nlohmann::json samples = ReadJson("deploy/models/house-price/samples.json")["samples"];
  ASSERT_FALSE(samples.empty());
  for (const auto& sample : samples) {
    const std::vector<float> features = sample["features"];
    std::vector<Tensor> inputs;
    inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{1, 2}, features));
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> outputs, RunModel(*loaded.model, inputs));
    const float want = sample["price"];
    EXPECT_NEAR(outputs[0].view().as<float>()[0] / want, 1, 1e-5);
  }
}

TEST_P(SampleModels, EfficientNetNamesBothPhotographs) {
  ModelRunner runner;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded,
                       runner.LoadFile(kEfficientNet, "model.onnx", OptionsFor(GetParam())));
  const nlohmann::json expected = ReadJson(std::string(kEfficientNet) + "/expected.json");
  ASSERT_EQ(expected.size(), 2u);
  for (const auto& photo : expected) {
    const std::string file = photo["input"];
    ASSERT_OK_AND_ASSIGN(Tensor image, ReadNpyFile(std::string(kEfficientNet) + "/" + file));
    std::vector<Tensor> inputs;
    inputs.push_back(std::move(image));
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> outputs, RunModel(*loaded.model, inputs));
    const auto scores = outputs[0].view().as<float>();
    std::vector<int> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + 5, order.end(), [&](int a, int b) {
      return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
    });
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(order[i], photo["top5"][i].get<int>()) << file << " place " << i;
      EXPECT_NEAR(scores[static_cast<size_t>(order[i])], photo["p"][i].get<float>(), 1e-4) << file;
    }
  }
}

// Rows of batches of 3 and 8 are what single rows are.
TEST(SampleModelsBatching, RowsOfABatchEqualSingleRows) {
  ModelRunner runner;
  for (const char* folder : {kDigits, kHousePrice, kEfficientNet}) {
    SCOPED_TRACE(folder);
    ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, runner.LoadFile(folder, "model.onnx"));
    const ModelDescription& description = loaded.model->description();
    if (description.batch_rows_max == 0) {
      // A file with a fixed batch of one is a truth about the file.
      EXPECT_TRUE(description.inputs[0].shape[0].known()) << description.batching_reason;
      continue;
    }
    Shape shape;
    for (const Dim& dim : description.inputs[0].shape) shape.push_back(dim.known() ? dim.size : 8);
    Tensor eight(DType::kF32, shape);
    for (size_t i = 0; i < eight.view().as<float>().size(); ++i) {
      eight.view().as<float>()[i] = static_cast<float>((i * 7919) % 1000) / 500.0f - 1.0f;
    }
    std::vector<Tensor> inputs;
    inputs.push_back(Tensor::CopyOf(eight.view()));
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> all, RunModel(*loaded.model, inputs));
    inputs[0] = Rows(eight, 2, 3);
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> three, RunModel(*loaded.model, inputs));
    for (int64_t row = 0; row < 8; ++row) {
      inputs[0] = Rows(eight, row, 1);
      ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> one, RunModel(*loaded.model, inputs));
      EXPECT_LE(RelativeError(Rows(all[0], row, 1).view(), one[0].view()), 1e-4) << row;
      if (row < 2 || row >= 5) continue;
      EXPECT_LE(RelativeError(Rows(three[0], row - 2, 1).view(), one[0].view()), 1e-4) << row;
    }
  }
}

TEST(SampleModelsPrecision, Bf16StaysCloseToF32) {
  ModelRunner runner;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult f32, runner.LoadFile(kEfficientNet, "model.onnx"));
  ModelLoadOptions options;
  options.precision = "bf16";
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult bf16,
                       runner.LoadFile(kEfficientNet, "model.onnx", options));
  EXPECT_EQ(bf16.model->description().precision, "bf16");
  ASSERT_OK_AND_ASSIGN(Tensor image, ReadNpyFile(std::string(kEfficientNet) + "/china.npy"));
  std::vector<Tensor> inputs;
  inputs.push_back(std::move(image));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> exact, RunModel(*f32.model, inputs));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> close, RunModel(*bf16.model, inputs));
  EXPECT_GE(Cosine(close[0].view(), exact[0].view()), 0.999);
  const auto& kinds = bf16.model->parameters().bytes_by_dtype();
  const bool has_bf16 = kinds.contains(DType::kBF16);
  if (!has_bf16) GTEST_SKIP() << "this machine computes in f32: no backend took bf16";
  EXPECT_LT(bf16.model->description().weights_bytes_packed,
            f32.model->description().weights_bytes_packed * 6 / 10);
}

TEST(SampleModelsThreads, TwoSessionsAnswerAtTheSameTime) {
  ModelRunner runner;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, runner.LoadFile(kDigits, "model.onnx"));
  std::vector<float> pixels(8 * 64);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i % 17) / 16;
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{8, 64}, pixels));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> want, RunModel(*loaded.model, inputs));

  std::vector<std::thread> threads;
  std::vector<int> wrong(2, 0);
  for (size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      auto arena = Arena::Create(uint64_t{1} << 30);
      if (!arena.ok()) {
        wrong[t] = 1;
        return;
      }
      const std::unique_ptr<Session> session = loaded.model->NewSession(arena->get());
      for (int64_t round = 0; round < 200; ++round) {
        // New shapes arrive beside warm ones: snapshots change under the sessions.
        const int64_t rows = 1 + (round * (t == 0 ? 3 : 5)) % 8;
        std::vector<Tensor> some;
        some.push_back(Rows(inputs[0], 0, rows));
        const auto got = RunSession(*loaded.model, *session, some);
        const bool good =
            got.ok() && RelativeError((*got)[0].view(), Rows(want[0], 0, rows).view()) <= 1e-5;
        if (!good) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong[0] + wrong[1], 0);
}

}  // namespace
}  // namespace paramd
