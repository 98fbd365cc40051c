#include "runtime/backends/vectors/integer_sums.h"

// Compiles this file once an instruction set, and picks one at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/backends/vectors/integer_sums.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/backends/vectors/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace paramd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using I32 = hn::ScalableTag<int32_t>;
using F32 = hn::ScalableTag<float>;

HWY_INLINE hn::Vec<I32> Corrected(const int32_t* sums, const IntegerColumns& c,
                                  const IntegerRow& row, int64_t j, size_t n) {
  const I32 d;
  auto v = LoadSome(d, sums + j, n);
  v = hn::Sub(v, hn::Mul(hn::Set(d, row.zero), LoadSome(d, c.sums + j, n)));
  if (c.zeros != nullptr)
    v = hn::Sub(v, hn::Mul(hn::Set(d, row.rest), LoadSome(d, c.zeros + j, n)));
  if (c.bias != nullptr) v = hn::Add(v, LoadSome(d, c.bias + j, n));
  return v;
}

void I32Row(const int32_t* sums, const IntegerColumns& c, const IntegerRow& row, int32_t* y) {
  const I32 d;
  ForVectors(d, c.count, [&](int64_t j, size_t n) HWY_ATTR {
    StoreSome(Corrected(sums, c, row, j, n), d, y + j, n);
  });
}

void F32Row(const int32_t* sums, const IntegerColumns& c, const IntegerRow& row, float* y) {
  const F32 d;
  const auto scale = hn::Set(d, row.scale);
  ForVectors(d, c.count, [&](int64_t j, size_t n) HWY_ATTR {
    auto v = hn::ConvertTo(d, Corrected(sums, c, row, j, n));
    v = hn::Mul(v, hn::Mul(scale, LoadSome(d, c.scales + j, n)));
    if (c.addends != nullptr) v = hn::Add(v, LoadSome(d, c.addends + j, n));
    StoreSome(v, d, y + j, n);
  });
}

template <typename Y>
HWY_INLINE void ByteRow(const int32_t* sums, const IntegerColumns& c, const IntegerRow& row, Y* y) {
  const F32 d;
  const I32 di;
  const hn::Rebind<Y, F32> dy;
  const auto low = hn::Set(d, static_cast<float>(hwy::LowestValue<Y>()));
  const auto high = hn::Set(d, static_cast<float>(hwy::HighestValue<Y>()));
  const auto scale = hn::Set(d, row.scale), zero = hn::Set(d, row.result_zero);
  ForVectors(d, c.count, [&](int64_t j, size_t n) HWY_ATTR {
    auto v = hn::Mul(hn::ConvertTo(d, Corrected(sums, c, row, j, n)), scale);
    v = hn::Round(hn::Mul(v, LoadSome(d, c.scales + j, n)));
    v = hn::Clamp(hn::Add(v, zero), low, high);
    StoreSome(hn::DemoteTo(dy, hn::ConvertTo(di, v)), dy, y + j, n);
  });
}

void U8Row(const int32_t* sums, const IntegerColumns& c, const IntegerRow& row, uint8_t* y) {
  ByteRow(sums, c, row, y);
}
void I8Row(const int32_t* sums, const IntegerColumns& c, const IntegerRow& row, int8_t* y) {
  ByteRow(sums, c, row, y);
}

uint32_t ByteSum(const uint8_t* bytes, int64_t count) {
  const hn::ScalableTag<uint8_t> d;
  const hn::Repartition<uint64_t, decltype(d)> d64;
  auto sum = hn::Zero(d64);
  ForVectors(d, count, [&](int64_t i, size_t n) HWY_ATTR {
    sum = hn::Add(sum, hn::SumsOf8(LoadSome(d, bytes + i, n)));
  });
  return static_cast<uint32_t>(hn::ReduceSum(d64, sum));
}

void Flip(const uint8_t* from, int64_t count, uint8_t* to) {
  const hn::ScalableTag<uint8_t> d;
  const auto sign = hn::Set(d, uint8_t{0x80});
  ForVectors(d, count, [&](int64_t i, size_t n) HWY_ATTR {
    StoreSome(hn::Xor(LoadSome(d, from + i, n), sign), d, to + i, n);
  });
}

}  // namespace paramd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace paramd {

HWY_EXPORT(I32Row);
HWY_EXPORT(F32Row);
HWY_EXPORT(U8Row);
HWY_EXPORT(I8Row);
HWY_EXPORT(ByteSum);
HWY_EXPORT(Flip);

void FinishI32(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row,
               int32_t* y) {
  HWY_DYNAMIC_DISPATCH(I32Row)(sums, columns, row, y);
}
void FinishF32(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row,
               float* y) {
  HWY_DYNAMIC_DISPATCH(F32Row)(sums, columns, row, y);
}
void FinishU8(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row,
              uint8_t* y) {
  HWY_DYNAMIC_DISPATCH(U8Row)(sums, columns, row, y);
}
void FinishI8(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row,
              int8_t* y) {
  HWY_DYNAMIC_DISPATCH(I8Row)(sums, columns, row, y);
}
uint32_t SumOfBytes(const uint8_t* bytes, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(ByteSum)(bytes, count);
}
void FlipSigns(const void* from, int64_t count, void* to) {
  HWY_DYNAMIC_DISPATCH(Flip)(static_cast<const uint8_t*>(from), count, static_cast<uint8_t*>(to));
}

}  // namespace paramd
#endif  // HWY_ONCE
