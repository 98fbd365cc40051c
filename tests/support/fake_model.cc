#include "tests/support/fake_model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/strings.h"

namespace paramd {

class FakeModel::FakeSession final : public Session {
 public:
  explicit FakeSession(const FakeModel* model) : model_(model) {
    MutexLock lock(&model_->mutex_);
    ++model_->sessions_;
  }
  ~FakeSession() override {
    MutexLock lock(&model_->mutex_);
    --model_->sessions_;
  }

  absl::Status Prepare(absl::Span<const Shape> input_shapes) override {
    if (!model_->IsCompiled(input_shapes)) {
      return absl::UnavailableError(StrCat(input_shapes[0].ToString(), " is not compiled"));
    }
    const Shape& x = input_shapes[0];
    x_ = Tensor(DType::kF32, x);
    y_ = Tensor(DType::kF32, Shape{x.dim(0), 2});
    z_ = Tensor(DType::kF32, Shape{x.dim(0), 1});
    return absl::OkStatus();
  }
  MutableTensorView input(int i) override {
    CHECK_EQ(i, 0);
    return x_.view();
  }
  absl::Status Run() override {
    const FakeModelOptions& options = model_->options_;
    const int64_t rows = x_.shape().dim(0);
    const int64_t width = x_.shape().dim(1);
    const absl::Time began = options.clock ? options.clock->Now() : absl::Time();
    {
      MutexLock lock(&model_->mutex_);
      ++model_->runs_begun_;
      model_->changed_.SignalAll();
      while (model_->blocked_) model_->changed_.Wait(&model_->mutex_);
    }
    const absl::Duration took = options.batch_cost + rows * options.row_cost;
    if (options.clock != nullptr) options.clock->Advance(took);
    {
      MutexLock lock(&model_->mutex_);
      model_->runs_.push_back({x_.shape(), began, took});
    }
    const float* x = x_.view().as<float>().data();
    float* y = y_.view().as<float>().data();
    float* z = z_.view().as<float>().data();
    for (int64_t r = 0; r < rows; ++r) {
      float sum = 0;
      for (int64_t i = 0; i < width; ++i) sum += x[r * width + i];
      const float first = width > 0 ? x[r * width] : 0;
      if (first == kPoison) {
        return absl::InvalidArgumentError(StrCat("row ", r, " is poisoned"));
      }
      y[2 * r] = options.scale * sum;
      y[2 * r + 1] = static_cast<float>(rows);
      z[r] = first;
    }
    return absl::OkStatus();
  }
  TensorView output(int i) const override {
    return i == 0 ? std::as_const(y_).view() : std::as_const(z_).view();
  }

 private:
  const FakeModel* const model_;
  Tensor x_, y_, z_;
};

FakeModel::FakeModel(FakeModelOptions options) : options_(std::move(options)) {
  const Dim width = options_.width > 0 ? Dim::Of(options_.width) : Dim::Named("L");
  description_.inputs = {{"x", DType::kF32, {Dim::Named("N"), width}}};
  description_.outputs = {{"y", DType::kF32, {Dim::Named("N"), Dim::Of(2)}},
                          {"z", DType::kF32, {Dim::Named("N"), Dim::Of(1)}}};
  description_.batch_rows_max = options_.rows_max;
  auto store = ParameterStore::Create({.capacity_bytes = 1 << 20});
  CHECK_OK(store.status());
  store_ = *std::move(store);
  parameters_ = ParameterSetBuilder(store_.get()).Build("fake");
  if (options_.width > 0) {
    MutexLock lock(&mutex_);
    for (const int64_t rows : options_.compiled_rows) {
      compiled_.push_back(Shape{rows, options_.width});
    }
  }
}

FakeModel::~FakeModel() {
  if (options_.on_destroy) options_.on_destroy();
}

absl::Status FakeModel::CheckCall(CallInputs inputs) const {
  if (inputs.size() != 1) return absl::InvalidArgumentError("expected 1 input");
  const TensorView& x = inputs[0];
  if (x.dtype != DType::kF32 || x.shape.rank() != 2 ||
      (options_.width > 0 && x.shape.dim(1) != options_.width)) {
    return absl::InvalidArgumentError(StrCat("input 'x' is ", DTypeName(x.dtype),
                                             x.shape.ToString(), ", expected f32[N,",
                                             options_.width, "]"));
  }
  return absl::OkStatus();
}

std::string FakeModel::BatchKey(CallInputs inputs) const {
  return StrCat(inputs[0].shape.dim(1), ";");
}

int64_t FakeModel::BatchCost(CallInputs inputs) const {
  return options_.rows_max > 0 ? inputs[0].shape.dim(0) : 1;
}

absl::Status FakeModel::Compile(absl::Span<const Shape> input_shapes) const {
  if (options_.clock != nullptr) options_.clock->Advance(options_.compile_cost);
  const Shape& x = input_shapes[0];
  absl::Status status = options_.compile_status ? options_.compile_status(x) : absl::OkStatus();
  MutexLock lock(&mutex_);
  compiles_.push_back(x);
  if (status.ok()) compiled_.push_back(x);
  changed_.SignalAll();
  return status;
}

bool FakeModel::IsCompiled(absl::Span<const Shape> input_shapes) const {
  MutexLock lock(&mutex_);
  return std::find(compiled_.begin(), compiled_.end(), input_shapes[0]) != compiled_.end();
}

std::unique_ptr<Session> FakeModel::NewSession(Arena*) const {
  return std::make_unique<FakeSession>(this);
}

void FakeModel::Forget(const Shape& x) const {
  MutexLock lock(&mutex_);
  std::erase(compiled_, x);
}

void FakeModel::Block() const {
  MutexLock lock(&mutex_);
  blocked_ = true;
}

void FakeModel::Unblock() const {
  MutexLock lock(&mutex_);
  blocked_ = false;
  changed_.SignalAll();
}

void FakeModel::WaitForRuns(int64_t count) const {
  MutexLock lock(&mutex_);
  while (runs_begun_ < count) changed_.Wait(&mutex_);
}

std::vector<FakeModel::RunRecord> FakeModel::runs() const {
  MutexLock lock(&mutex_);
  return runs_;
}

std::vector<int64_t> FakeModel::rows_run() const {
  MutexLock lock(&mutex_);
  std::vector<int64_t> rows;
  for (const RunRecord& run : runs_) rows.push_back(run.x.dim(0));
  return rows;
}

std::vector<Shape> FakeModel::compiles() const {
  MutexLock lock(&mutex_);
  return compiles_;
}

int FakeModel::sessions_alive() const {
  MutexLock lock(&mutex_);
  return sessions_;
}

FakeCall::FakeCall(std::vector<float> x, int64_t rows, int pieces) {
  NamedTensor input;
  input.name = "x";
  input.dtype = DType::kF32;
  const auto elements = static_cast<int64_t>(x.size());
  input.shape = Shape{rows, rows == 0 ? 0 : elements / rows};
  const size_t bytes = x.size() * sizeof(float);
  const size_t piece = (bytes + static_cast<size_t>(pieces) - 1) / static_cast<size_t>(pieces);
  for (size_t at = 0; at < bytes; at += piece) {
    const size_t count = std::min(piece, bytes - at);
    std::vector<std::byte> fragment(count);
    std::memcpy(fragment.data(), reinterpret_cast<const std::byte*>(x.data()) + at, count);
    bytes_.push_back(std::move(fragment));
  }
  for (const std::vector<std::byte>& fragment : bytes_) input.fragments.push_back(fragment);
  inputs.push_back(std::move(input));
  sink = this;
}

std::unique_ptr<FakeCall> FakeCall::OneRow(float value, int64_t width) {
  return std::make_unique<FakeCall>(std::vector<float>(static_cast<size_t>(width), value), 1);
}

std::unique_ptr<FakeCall> FakeCall::Rows(int64_t rows, float first, int64_t width) {
  std::vector<float> x(static_cast<size_t>(rows * width), 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    x[static_cast<size_t>(r * width)] = first + static_cast<float>(r);
  }
  return std::make_unique<FakeCall>(std::move(x), rows, 3);
}

void FakeCall::OnDone(absl::StatusOr<PredictAnswer> answer) {
  std::function<void(FakeCall*)> then;
  {
    MutexLock lock(&mutex_);
    if (++answers_ == 1) {
      status_ = answer.status();
      if (answer.ok()) {
        for (const OutputTensor& output : answer->outputs) {
          const auto values = output.view.as<float>();
          outputs_.push_back(
              {std::string(output.name), {values.begin(), values.end()}, output.view.shape});
        }
        rows_ = answer->rows;
        batch_rows_ = answer->batch_rows;
        times_ = answer->times;
      }
    }
    then = on_done;
    version = ModelHandle();
    done_.SignalAll();
  }
  if (then) then(this);
}

absl::Status FakeCall::status() const {
  MutexLock lock(&mutex_);
  return answers_ == 0 ? absl::FailedPreconditionError("no answer yet") : status_;
}

int FakeCall::answers() const {
  MutexLock lock(&mutex_);
  return answers_;
}

void FakeCall::Wait() const {
  MutexLock lock(&mutex_);
  while (answers_ == 0) done_.Wait(&mutex_);
}

std::vector<float> FakeCall::output(std::string_view name) const {
  MutexLock lock(&mutex_);
  for (const Output& output : outputs_) {
    if (output.name == name) return output.values;
  }
  return {};
}

int64_t FakeCall::answered_rows() const {
  MutexLock lock(&mutex_);
  return rows_;
}

int64_t FakeCall::batch_rows() const {
  MutexLock lock(&mutex_);
  return batch_rows_;
}

StageTimes FakeCall::times() const {
  MutexLock lock(&mutex_);
  return times_;
}

}  // namespace paramd
