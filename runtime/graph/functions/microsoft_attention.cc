// com.microsoft: attention, written out: the fusion passes decide what runs it.
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/functions/own_functions.h"

namespace paramd {
namespace {

// [rows, length, heads size] as [rows, heads, length, size].
std::string Heads(FunctionBody& body, std::string x, int64_t heads) {
  const std::string split = body.Add("Reshape", {std::move(x), body.Ints({0, 0, heads, -1})});
  return body.Add("Transpose", {split}, {IntsAttribute("perm", {0, 2, 1, 3})});
}

// And back.
std::string Joined(FunctionBody& body, std::string x) {
  const std::string moved =
      body.Add("Transpose", {std::move(x)}, {IntsAttribute("perm", {0, 2, 1, 3})});
  return body.Add("Reshape", {moved, body.Ints({0, 0, -1})});
}

struct Parts {
  std::string q, k, v;  // [rows, heads, length, size]
  // Added to the scores, in order; each broadcasts to them.
  std::vector<std::string> biases;
};

// softmax(q k^T scale + biases) v, joined.
std::string Attend(FunctionBody& body, const Parts& parts) {
  const std::string turned =
      body.Add("Transpose", {parts.k}, {IntsAttribute("perm", {0, 1, 3, 2})});
  std::string scores = body.Add("MatMul", {parts.q, turned});
  if (const float scale = body.GetFloat("scale", 0); scale != 0) {
    scores = body.Add("Mul", {scores, body.ScalarLike(scale, scores)});
  } else {
    const std::string size = body.Add("Shape", {parts.q}, {IntAttribute("start", 3)});
    const std::string root = body.Add("Sqrt", {body.Cast(size, DType::kF32)});
    scores = body.Add("Div", {scores, body.Add("CastLike", {root, scores})});
  }
  for (const std::string& bias : parts.biases) scores = body.Add("Add", {scores, bias});
  if (body.GetInt("unidirectional", 0) != 0) {
    // Query i sees the keys up to its own place, which is last for the last query.
    const std::string shape = body.Add("Shape", {scores}, {IntAttribute("start", 2)});
    const std::string length = body.Add("Gather", {shape, body.Ints({0})});
    const std::string keys = body.Add("Gather", {shape, body.Ints({1})});
    const std::string before =
        body.Add("Squeeze", {body.Add("Sub", {keys, length}), body.Ints({0})});
    const std::string ones = body.Add("Expand", {body.Ints({1}), shape});
    const std::string seen =
        body.Cast(body.Add("Trilu", {ones, before}, {IntAttribute("upper", 0)}), DType::kBool);
    const std::string masked = body.ScalarLike(body.GetFloat("mask_filter_value", -10000), scores);
    scores =
        body.Add("Add", {scores, body.Add("Where", {seen, body.ScalarLike(0, scores), masked})});
  }
  const std::string shares = body.Add("Softmax", {scores}, {IntAttribute("axis", -1)});
  return Joined(body, body.Add("MatMul", {shares, parts.v}));
}

// 0 where the mask is not 0, else the filter value, in the type of `like`.
std::string Filtered(FunctionBody& body, const std::string& mask, const std::string& like) {
  const std::string keep = body.Cast(mask, DType::kBool);
  return body.Add("Where", {keep, body.ScalarLike(0, like),
                            body.ScalarLike(body.GetFloat("mask_filter_value", -10000), like)});
}

// Input i as a bias of the scores: [rows], how many keys count; [rows, keys];
// [rows, queries, keys]; or with all four dimensions.
absl::StatusOr<std::string> MaskBias(FunctionBody& body, int i, const Parts& parts) {
  std::string mask = body.In(i);
  switch (body.RankOf(i)) {
    case 1: {
      const std::string keys =
          body.Add("Shape", {parts.k}, {IntAttribute("start", 2), IntAttribute("end", 3)});
      const std::string zero = body.Ints({0}), one = body.Ints({1});
      const std::string count = body.Add("Squeeze", {keys, zero});
      const std::string places = body.Add(
          "Range", {body.Add("Squeeze", {zero, zero}), count, body.Add("Squeeze", {one, zero})});
      const std::string ends =
          body.Add("Unsqueeze", {body.Cast(mask, DType::kI64), body.Ints({1})});
      mask = body.Add("Unsqueeze", {body.Add("Less", {places, ends}), body.Ints({1, 2})});
      break;
    }
    case 2:
      mask = body.Add("Unsqueeze", {mask, body.Ints({1, 2})});
      break;
    case 3:
      mask = body.Add("Unsqueeze", {mask, body.Ints({1})});
      break;
    case 4:
      break;
    default:
      return absl::UnimplementedError(
          StrCat("a mask of rank ", body.RankOf(i), " (-1: not known) is not supported"));
  }
  return Filtered(body, mask, parts.q);
}

// Keys and values of earlier calls go before those of this one.
struct Past {
  std::string k, v;
};

void Remember(FunctionBody& body, const Past& past, Parts& parts) {
  if (past.k.empty()) return;
  parts.k = body.Add("Concat", {past.k, parts.k}, {IntAttribute("axis", 2)});
  parts.v = body.Add("Concat", {past.v, parts.v}, {IntAttribute("axis", 2)});
}

absl::StatusOr<int64_t> HeadCount(const FunctionBody& body) {
  const int64_t heads = body.GetInt("num_heads", 0);
  if (heads < 1) return absl::InvalidArgumentError(StrCat("num_heads is ", heads));
  if (body.GetInt("do_rotary", 0) != 0) {
    return absl::UnimplementedError("do_rotary=1 is not supported");
  }
  return heads;
}

// From queries, keys and values side by side: what Attention and QAttention share.
absl::Status DefineFromProjection(FunctionBody& body, const std::string& projected, int mask,
                                  int past, int bias) {
  PARAMD_ASSIGN_OR_RETURN(const int64_t heads, HeadCount(body));
  const std::vector<int64_t> sizes = body.GetInts("qkv_hidden_sizes");
  const std::vector<std::string> qkv =
      sizes.empty()
          ? body.AddMany("Split", {projected}, 3,
                         {IntAttribute("axis", -1), IntAttribute("num_outputs", 3)})
          : body.AddMany("Split", {projected, body.Ints(sizes)}, 3, {IntAttribute("axis", -1)});
  Parts parts = {
      Heads(body, qkv[0], heads), Heads(body, qkv[1], heads), Heads(body, qkv[2], heads), {}};
  if (body.Has(past)) {
    const std::string zero = body.Ints({0});
    const auto piece = [&](int64_t i) {
      return body.Add("Squeeze", {body.Add("Gather", {body.In(past), body.Ints({i})}), zero});
    };
    Remember(body, {piece(0), piece(1)}, parts);
  }
  if (body.Has(mask)) {
    PARAMD_ASSIGN_OR_RETURN(std::string filtered, MaskBias(body, mask, parts));
    parts.biases.push_back(std::move(filtered));
  }
  if (bias >= 0 && body.Has(bias)) parts.biases.push_back(body.In(bias));
  body.Output(0, Attend(body, parts));
  if (body.Wants(1)) {
    const std::string zero = body.Ints({0});
    body.Output(1, body.Add("Concat",
                            {body.Add("Unsqueeze", {parts.k, zero}),
                             body.Add("Unsqueeze", {parts.v, zero})},
                            {IntAttribute("axis", 0)}));
  }
  return absl::OkStatus();
}

// {x, weights, bias?, mask?, past?, attention bias?}
absl::Status DefineAttention(FunctionBody& body) {
  std::string projected = body.Add("MatMul", {body.In(0), body.In(1)});
  if (body.Has(2)) projected = body.Add("Add", {projected, body.In(2)});
  return DefineFromProjection(body, projected, 3, 4, 5);
}

// {x, weights, bias, x scale, weight scale, mask?, x zero?, weight zero?, past?}
absl::Status DefineQAttention(FunctionBody& body) {
  const std::string whole =
      body.Add("MatMulInteger", {body.In(0), body.In(1), body.In(6), body.In(7)});
  const std::string scale = body.Add("Mul", {body.In(3), body.In(4)});
  const std::string product = body.Add("Mul", {body.Cast(whole, DType::kF32), scale});
  return DefineFromProjection(body, body.Add("Add", {product, body.In(2)}), 5, 8, -1);
}

// {query, key?, value?, bias?, key mask?, attention bias?, past key?, past value?}
absl::Status DefineMultiHeadAttention(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(const int64_t heads, HeadCount(body));
  if (!body.Has(1) || !body.Has(2)) {
    return absl::UnimplementedError("packed queries, keys and values are not supported");
  }
  if (body.Has(8) || body.Has(9)) {
    return absl::UnimplementedError("a cache that is written in place is not supported");
  }
  std::string rows[3] = {body.In(0), body.In(1), body.In(2)};
  if (body.Has(3)) {
    const std::vector<std::string> biases = body.AddMany(
        "Split", {body.In(3)}, 3, {IntAttribute("axis", 0), IntAttribute("num_outputs", 3)});
    for (size_t i = 0; i < 3; ++i) {
      // Keys that have their heads already came with their bias.
      if (body.RankOf(static_cast<int>(i)) == 4) continue;
      rows[i] = body.Add("Add", {rows[i], biases[i]});
    }
  }
  const auto split = [&](int i) {
    return body.RankOf(i) == 4 ? rows[i] : Heads(body, rows[i], heads);
  };
  Parts parts = {split(0), split(1), split(2), {}};
  if (body.Has(6) && body.Has(7)) Remember(body, {body.In(6), body.In(7)}, parts);
  if (body.Has(4)) {
    PARAMD_ASSIGN_OR_RETURN(std::string filtered, MaskBias(body, 4, parts));
    parts.biases.push_back(std::move(filtered));
  }
  if (body.Has(5)) parts.biases.push_back(body.In(5));
  body.Output(0, Attend(body, parts));
  body.Output(1, parts.k);
  body.Output(2, parts.v);
  return absl::OkStatus();
}

constexpr OwnFunction kAttentionRows[] = {
    {kMicrosoftDomain, "Attention", 1, kAnyVersion, 2, DefineAttention},
    {kMicrosoftDomain, "QAttention", 1, kAnyVersion, 5, DefineQAttention},
    {kMicrosoftDomain, "MultiHeadAttention", 1, kAnyVersion, 1, DefineMultiHeadAttention},
};

}  // namespace

absl::Span<const OwnFunction> MicrosoftAttentionFunctions() { return kAttentionRows; }

}  // namespace paramd
