// Unary, binary, where and cast.
#include "runtime/base/strings.h"
#include "tests/conformance/cases.h"

namespace paramd::conformance {
namespace {

const std::vector<DType> kIntegers = {DType::kI8,  DType::kU8,  DType::kI16, DType::kU16,
                                      DType::kI32, DType::kU32, DType::kI64, DType::kU64};
const std::vector<DType> kSigned = {DType::kI8, DType::kI16, DType::kI32, DType::kI64};

struct UnaryCase {
  ActivationKind kind;
  float alpha = 0, beta = 0;
  Data data = Data::kNormal;
  bool must = false;
};

OpSpec MakeUnary(const UnaryCase& c, DType dtype, const Shape& shape) {
  OpSpec spec;
  spec.params = UnaryParams{.kind = c.kind, .alpha = c.alpha, .beta = c.beta};
  spec.inputs = {Activation(dtype, shape)};
  spec.outputs = {Activation(dtype, shape)};
  return spec;
}

void AddUnary(std::vector<Case>* cases) {
  using enum ActivationKind;
  const std::vector<UnaryCase> table = {
      {kRelu, 0, 0, Data::kNormal, true},
      {kLeakyRelu, 0.1f},
      {kClip, -0.5f, 0.75f, Data::kNormal, true},
      {kSigmoid, 0, 0, Data::kNormal, true},
      {kTanh, 0, 0, Data::kNormal, true},
      {kElu, 0.9f},
      {kHardSigmoid, 0.2f, 0.5f},
      {kHardSwish},
      {kSilu, 1.702f},
      {kGeluErf},
      {kGeluTanh},
      {kSoftplus},
      {kSoftsign},
      {kSelu, 1.67326f, 1.0507f},
      {kAbs},
      {kNeg},
      {kExp},
      {kLog, 0, 0, Data::kPositive},
      {kSqrt, 0, 0, Data::kPositive},
      {kReciprocal, 0, 0, Data::kNonZero},
      {kErf},
      {kFloor},
      {kCeil},
      {kRound},
      {kSign, 0, 0, Data::kSmallInts},
      {kSin},
      {kCos},
  };
  for (const UnaryCase& c : table) {
    AddCases(cases, StrCat("unary/", ActivationKindName(c.kind)),
             {.data = {c.data}, .onednn_must_take = c.must}, [&c](DType dtype) {
               return MakeUnary(c, dtype, {2, 5, 3, 7});
             });
  }
  for (ActivationKind kind : {kRelu, kAbs, kSign, kFloor}) {
    AddCases(cases, StrCat("unary/", ActivationKindName(kind)), {.dtypes = kIntegers},
             [kind](DType dtype) {
               return MakeUnary({kind}, dtype, {3, 7});
             });
  }
  AddCases(cases, "unary/neg", {.dtypes = kSigned}, [](DType dtype) {
    return MakeUnary({kNeg}, dtype, {3, 7});
  });
  AddCases(cases, "unary/clip", {.dtypes = kSigned}, [](DType dtype) {
    return MakeUnary({kClip, -2, 5}, dtype, {3, 7});
  });
  AddCases(cases, "unary/not", {.dtypes = {DType::kBool}}, [](DType dtype) {
    return MakeUnary({kNot}, dtype, {4, 5});
  });
  AddCases(cases, "unary/scalar", {},
           [](DType dtype) { return MakeUnary({kTanh}, dtype, Shape{}); });
  AddCases(cases, "unary/empty", {}, [](DType dtype) {
    return MakeUnary({kRelu}, dtype, {3, 0, 2});
  });
  AddCases(cases, "unary/two_post_ops", {}, [](DType dtype) {
    OpSpec spec = MakeUnary({kSigmoid}, dtype, {2, 4, 5, 3});
    spec.inputs.push_back(Activation(dtype, {2, 4, 5, 3}));
    spec.post_ops = {ThenAdd(1), Then(kClip, 0.1f, 0.9f)};
    return spec;
  });
  // x + f(x): the input may not be written over.
  AddCases(cases, "unary/add_itself", {}, [](DType dtype) {
    OpSpec spec = MakeUnary({kTanh}, dtype, {2, 4, 5, 3});
    spec.post_ops = {ThenAdd(0)};
    return spec;
  });
}

struct BinaryCase {
  std::string_view name;
  Shape a, b, y;
};

OpSpec MakeBinary(BinaryKind kind, const BinaryCase& c, DType a, DType b, DType y) {
  OpSpec spec;
  spec.params = BinaryParams{kind};
  spec.inputs = {Activation(a, c.a), Activation(b, c.b)};
  spec.outputs = {Activation(y, c.y)};
  return spec;
}

void AddBinary(std::vector<Case>* cases) {
  using enum BinaryKind;
  const BinaryCase same = {"same", {2, 3, 4, 5}, {2, 3, 4, 5}, {2, 3, 4, 5}};
  const std::vector<BinaryCase> shapes = {
      same,
      {"channel", {2, 3, 4, 5}, {1, 3, 1, 1}, {2, 3, 4, 5}},
      {"row", {4, 6}, {6}, {4, 6}},
      {"scalar", {4, 6}, {}, {4, 6}},
      {"column_left", {4, 1}, {4, 6}, {4, 6}},
      {"both", {3, 1, 5}, {1, 4, 1}, {3, 4, 5}},
      {"leading", {5}, {2, 3, 5}, {2, 3, 5}},
      {"empty", {0, 3}, {1, 3}, {0, 3}},
  };
  for (const BinaryCase& c : shapes) {
    const bool must = c.name == "same" || c.name == "channel";
    for (BinaryKind kind : {kAdd, kMul}) {
      AddCases(cases, StrCat("binary/", BinaryKindName(kind), "_", c.name),
               {.onednn_must_take = must},
               [&](DType dtype) { return MakeBinary(kind, c, dtype, dtype, dtype); });
    }
  }
  for (const BinaryCase& c : {same, shapes[1]}) {
    AddCases(cases, StrCat("binary/mul_add_relu_", c.name), {}, [&](DType dtype) {
      OpSpec spec = MakeBinary(kMul, c, dtype, dtype, dtype);
      spec.inputs.push_back(Activation(dtype, c.y));
      spec.post_ops = {ThenAdd(2), Then(ActivationKind::kRelu)};
      return spec;
    });
  }
  for (BinaryKind kind : {kSub, kMin, kMax}) {
    AddCases(cases, StrCat("binary/", BinaryKindName(kind)), {},
             [&](DType dtype) { return MakeBinary(kind, same, dtype, dtype, dtype); });
  }
  for (BinaryKind kind : {kDiv, kMod}) {
    AddCases(cases, StrCat("binary/", BinaryKindName(kind)),
             {.data = {Data::kNormal, Data::kNonZero}},
             [&](DType dtype) { return MakeBinary(kind, same, dtype, dtype, dtype); });
  }
  AddCases(cases, "binary/pow", {.data = {Data::kPositive}},
           [&](DType dtype) { return MakeBinary(kPow, same, dtype, dtype, dtype); });
  AddCases(cases, "binary/pow_of_integer",
           {.dtypes = {DType::kF32, DType::kF64}, .data = {Data::kNonZero, Data::kSmallInts}},
           [&](DType dtype) { return MakeBinary(kPow, same, dtype, DType::kI64, dtype); });
  AddCases(cases, "binary/pow",
           {.dtypes = {DType::kI32, DType::kI64}, .data = {Data::kSmallInts, Data::kPositive}},
           [&](DType dtype) { return MakeBinary(kPow, same, dtype, dtype, dtype); });
  for (BinaryKind kind : {kAdd, kSub, kMul, kMin, kMax}) {
    AddCases(cases, StrCat("binary/", BinaryKindName(kind)),
             {.dtypes = kind == kSub ? kSigned : kIntegers},
             [&](DType dtype) { return MakeBinary(kind, shapes[5], dtype, dtype, dtype); });
  }
  for (BinaryKind kind : {kDiv, kMod}) {
    AddCases(cases, StrCat("binary/", BinaryKindName(kind)),
             {.dtypes = kIntegers, .data = {Data::kNormal, Data::kNonZero}},
             [&](DType dtype) { return MakeBinary(kind, same, dtype, dtype, dtype); });
  }
  for (BinaryKind kind : {kEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual}) {
    AddCases(
        cases, StrCat("binary/", BinaryKindName(kind)),
        {.dtypes = {DType::kF32, DType::kBF16, DType::kF64, DType::kI32, DType::kI64, DType::kU8},
         .data = {Data::kSmallInts, Data::kSmallInts}},
        [&](DType dtype) { return MakeBinary(kind, same, dtype, dtype, DType::kBool); });
  }
  for (BinaryKind kind : {kAnd, kOr, kXor, kEqual}) {
    AddCases(cases, StrCat("binary/", BinaryKindName(kind)), {.dtypes = {DType::kBool}},
             [&](DType dtype) { return MakeBinary(kind, shapes[5], dtype, dtype, dtype); });
  }
}

void AddWhere(std::vector<Case>* cases) {
  AddCases(cases, "where",
           {.dtypes = {DType::kF32, DType::kBF16, DType::kI64, DType::kU8, DType::kBool}},
           [](DType dtype) {
             OpSpec spec;
             spec.params = WhereParams{};
             spec.inputs = {Activation(DType::kBool, {3, 1, 5}), Activation(dtype, {4, 1}),
                            Activation(dtype, {3, 4, 5})};
             spec.outputs = {Activation(dtype, {3, 4, 5})};
             return spec;
           });
}

void AddCast(std::vector<Case>* cases) {
  const std::vector<DType> types = {DType::kF32,  DType::kF64, DType::kF16,    DType::kBF16,
                                    DType::kI8,   DType::kI16, DType::kI32,    DType::kI64,
                                    DType::kBool, DType::kI4,  DType::kF8E5M2, DType::kF8E4M3FN};
  for (DType from : types) {
    for (DType to : types) {
      cases->push_back({.name = StrCat("cast/", DTypeName(from), "_to_", DTypeName(to)),
                        .spec = {.params = CastParams{},
                                 .inputs = {Activation(from, {3, 5})},
                                 .outputs = {Activation(to, {3, 5})}},
                        .data = {Data::kSmallInts}});
    }
  }
}

}  // namespace

std::vector<Case> ElementwiseCases() {
  std::vector<Case> cases;
  AddUnary(&cases);
  AddBinary(&cases);
  AddWhere(&cases);
  AddCast(&cases);
  return cases;
}

}  // namespace paramd::conformance
