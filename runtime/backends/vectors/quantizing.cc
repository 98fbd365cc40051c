#include "runtime/backends/vectors/quantizing.h"

// Compiles this file once an instruction set, and picks one at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/backends/vectors/quantizing.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/backends/vectors/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace paramd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

ValueRange RangeOf(const float* x, int64_t count) {
  const hn::ScalableTag<float> d;
  auto low = hn::Zero(d), high = hn::Zero(d);
  // Lanes that a short load leaves are 0, which is in the range anyway.
  ForVectors(d, count, [&](int64_t i, size_t n) HWY_ATTR {
    const auto v = LoadSome(d, x + i, n);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  });
  return {hn::ReduceMin(d, low), hn::ReduceMax(d, high)};
}

template <typename Y>
HWY_INLINE void QuantizeTo(const float* x, int64_t count, float scale, float zero, Y* y) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<Y, decltype(d)> dy;
  const auto low = hn::Set(d, static_cast<float>(hwy::LowestValue<Y>()));
  const auto high = hn::Set(d, static_cast<float>(hwy::HighestValue<Y>()));
  const auto divisor = hn::Set(d, scale), shift = hn::Set(d, zero);
  ForVectors(d, count, [&](int64_t i, size_t n) HWY_ATTR {
    const auto rounded = hn::Round(hn::Div(LoadSome(d, x + i, n), divisor));
    const auto v = hn::Clamp(hn::Add(rounded, shift), low, high);
    StoreSome(hn::DemoteTo(dy, hn::ConvertTo(di, v)), dy, y + i, n);
  });
}
void ToU8(const float* x, int64_t count, float scale, float zero, uint8_t* y) {
  QuantizeTo(x, count, scale, zero, y);
}
void ToI8(const float* x, int64_t count, float scale, float zero, int8_t* y) {
  QuantizeTo(x, count, scale, zero, y);
}

template <typename X>
HWY_INLINE void DequantizeFrom(const X* x, int64_t count, float scale, int32_t zero, float* y) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<X, decltype(d)> dx;
  const auto factor = hn::Set(d, scale);
  const auto shift = hn::Set(di, zero);
  ForVectors(d, count, [&](int64_t i, size_t n) HWY_ATTR {
    const auto v = hn::Sub(hn::PromoteTo(di, LoadSome(dx, x + i, n)), shift);
    StoreSome(hn::Mul(hn::ConvertTo(d, v), factor), d, y + i, n);
  });
}
void FromU8(const uint8_t* x, int64_t count, float scale, int32_t zero, float* y) {
  DequantizeFrom(x, count, scale, zero, y);
}
void FromI8(const int8_t* x, int64_t count, float scale, int32_t zero, float* y) {
  DequantizeFrom(x, count, scale, zero, y);
}

}  // namespace paramd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace paramd {

HWY_EXPORT(RangeOf);
HWY_EXPORT(ToU8);
HWY_EXPORT(ToI8);
HWY_EXPORT(FromU8);
HWY_EXPORT(FromI8);

ValueRange RangeWithZero(const float* x, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(RangeOf)(x, count);
}
void Quantize(const float* x, int64_t count, float scale, float zero, uint8_t* y) {
  HWY_DYNAMIC_DISPATCH(ToU8)(x, count, scale, zero, y);
}
void Quantize(const float* x, int64_t count, float scale, float zero, int8_t* y) {
  HWY_DYNAMIC_DISPATCH(ToI8)(x, count, scale, zero, y);
}
void Dequantize(const uint8_t* x, int64_t count, float scale, int32_t zero, float* y) {
  HWY_DYNAMIC_DISPATCH(FromU8)(x, count, scale, zero, y);
}
void Dequantize(const int8_t* x, int64_t count, float scale, int32_t zero, float* y) {
  HWY_DYNAMIC_DISPATCH(FromI8)(x, count, scale, zero, y);
}

}  // namespace paramd
#endif  // HWY_ONCE
