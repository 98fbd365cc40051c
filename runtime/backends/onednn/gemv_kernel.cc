#include "runtime/backends/onednn/gemv_kernel.h"

// Compiles this file once an instruction set, and picks one at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/backends/onednn/gemv_kernel.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace paramd::onednn::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bytes ahead of the loads. The hardware's prefetcher stops at the end of each
// 4 KiB page, and without this one core gets about half of what it can read.
constexpr int64_t kAheadBytes = 8192;
constexpr int64_t kCacheLine = 64;

// Sums of one row over the columns of one pass. Four named vectors, because at
// -O2 an array of them stays in memory.
template <class D>
struct Sums {
  using V = hn::Vec<D>;
  V v0, v1, v2, v3;

  HWY_INLINE void Clear(D d) { v0 = v1 = v2 = v3 = hn::Zero(d); }
  HWY_INLINE void Add(V a, V w0, V w1, V w2, V w3) {
    v0 = hn::MulAdd(a, w0, v0);
    v1 = hn::MulAdd(a, w1, v1);
    v2 = hn::MulAdd(a, w2, v2);
    v3 = hn::MulAdd(a, w3, v3);
  }
  HWY_INLINE void Store(D d, float* out) const {
    const size_t lanes = hn::Lanes(d);
    hn::StoreU(v0, d, out);
    hn::StoreU(v1, d, out + lanes);
    hn::StoreU(v2, d, out + 2 * lanes);
    hn::StoreU(v3, d, out + 3 * lanes);
  }
};
constexpr size_t kVectors = 4;

HWY_INLINE void PrefetchAhead(const void* w, size_t bytes) {
  const char* ahead = static_cast<const char*>(w) + kAheadBytes;
  for (size_t line = 0; line < bytes; line += kCacheLine) hwy::Prefetch(ahead + line);
}

template <int kRows>
void F32Block(const float* weights, const float* a, int64_t inner, float* out) {
  using D = hn::CappedTag<float, 16>;
  const D d;
  const size_t lanes = hn::Lanes(d);
  for (size_t column = 0; column < kGemvBlock; column += kVectors * lanes) {
    Sums<D> row0, row1, row2, row3;
    row0.Clear(d);
    if constexpr (kRows > 1) row1.Clear(d);
    if constexpr (kRows > 2) row2.Clear(d);
    if constexpr (kRows > 3) row3.Clear(d);
    const float* w = weights + column;
    for (int64_t k = 0; k < inner; ++k, w += kGemvBlock) {
      PrefetchAhead(w, kVectors * lanes * sizeof(float));
      const auto w0 = hn::LoadU(d, w), w1 = hn::LoadU(d, w + lanes);
      const auto w2 = hn::LoadU(d, w + 2 * lanes), w3 = hn::LoadU(d, w + 3 * lanes);
      row0.Add(hn::Set(d, a[k]), w0, w1, w2, w3);
      if constexpr (kRows > 1) row1.Add(hn::Set(d, a[inner + k]), w0, w1, w2, w3);
      if constexpr (kRows > 2) row2.Add(hn::Set(d, a[2 * inner + k]), w0, w1, w2, w3);
      if constexpr (kRows > 3) row3.Add(hn::Set(d, a[3 * inner + k]), w0, w1, w2, w3);
    }
    row0.Store(d, out + column);
    if constexpr (kRows > 1) row1.Store(d, out + kGemvBlock + column);
    if constexpr (kRows > 2) row2.Store(d, out + 2 * kGemvBlock + column);
    if constexpr (kRows > 3) row3.Store(d, out + 3 * kGemvBlock + column);
  }
}

template <int kRows>
void BF16Block(const uint32_t* weights, const float* a, int64_t inner, float* out) {
  using D = hn::CappedTag<float, 16>;
  const D d;
  const hn::RebindToUnsigned<D> du;
  const size_t lanes = hn::Lanes(d);
  const auto upper = hn::Set(du, 0xffff0000u);
  for (size_t column = 0; column < kGemvBlock; column += kVectors * lanes) {
    Sums<D> row0, row1, row2, row3;
    row0.Clear(d);
    if constexpr (kRows > 1) row1.Clear(d);
    if constexpr (kRows > 2) row2.Clear(d);
    if constexpr (kRows > 3) row3.Clear(d);
    const uint32_t* w = weights + column;
    for (int64_t k = 0; k < inner; k += 2, w += kGemvBlock) {
      PrefetchAhead(w, kVectors * lanes * sizeof(float));
      const auto p0 = hn::LoadU(du, w), p1 = hn::LoadU(du, w + lanes);
      const auto p2 = hn::LoadU(du, w + 2 * lanes), p3 = hn::LoadU(du, w + 3 * lanes);
      // A bf16 is the upper half of a float: the pair is two of them.
      const auto even0 = hn::BitCast(d, hn::ShiftLeft<16>(p0));
      const auto even1 = hn::BitCast(d, hn::ShiftLeft<16>(p1));
      const auto even2 = hn::BitCast(d, hn::ShiftLeft<16>(p2));
      const auto even3 = hn::BitCast(d, hn::ShiftLeft<16>(p3));
      const auto odd0 = hn::BitCast(d, hn::And(p0, upper));
      const auto odd1 = hn::BitCast(d, hn::And(p1, upper));
      const auto odd2 = hn::BitCast(d, hn::And(p2, upper));
      const auto odd3 = hn::BitCast(d, hn::And(p3, upper));
      row0.Add(hn::Set(d, a[k]), even0, even1, even2, even3);
      row0.Add(hn::Set(d, a[k + 1]), odd0, odd1, odd2, odd3);
      if constexpr (kRows > 1) {
        row1.Add(hn::Set(d, a[inner + k]), even0, even1, even2, even3);
        row1.Add(hn::Set(d, a[inner + k + 1]), odd0, odd1, odd2, odd3);
      }
      if constexpr (kRows > 2) {
        row2.Add(hn::Set(d, a[2 * inner + k]), even0, even1, even2, even3);
        row2.Add(hn::Set(d, a[2 * inner + k + 1]), odd0, odd1, odd2, odd3);
      }
      if constexpr (kRows > 3) {
        row3.Add(hn::Set(d, a[3 * inner + k]), even0, even1, even2, even3);
        row3.Add(hn::Set(d, a[3 * inner + k + 1]), odd0, odd1, odd2, odd3);
      }
    }
    row0.Store(d, out + column);
    if constexpr (kRows > 1) row1.Store(d, out + kGemvBlock + column);
    if constexpr (kRows > 2) row2.Store(d, out + 2 * kGemvBlock + column);
    if constexpr (kRows > 3) row3.Store(d, out + 3 * kGemvBlock + column);
  }
}

template <int kRows>
void Block(const void* weights, bool bf16, const float* a, int64_t inner, float* out) {
  if (bf16) {
    BF16Block<kRows>(static_cast<const uint32_t*>(weights), a, inner, out);
  } else {
    F32Block<kRows>(static_cast<const float*>(weights), a, inner, out);
  }
}

void AnyBlock(const void* weights, bool bf16, const float* a, int64_t inner, int rows, float* out) {
  switch (rows) {
    case 1:
      return Block<1>(weights, bf16, a, inner, out);
    case 2:
      return Block<2>(weights, bf16, a, inner, out);
    case 3:
      return Block<3>(weights, bf16, a, inner, out);
    default:
      return Block<4>(weights, bf16, a, inner, out);
  }
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace paramd::onednn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace paramd::onednn {

HWY_EXPORT(AnyBlock);
HWY_EXPORT(TargetName);

void GemvBlock(const void* weights, bool bf16, const float* a, int64_t inner, int rows,
               float* out) {
  HWY_DYNAMIC_DISPATCH(AnyBlock)(weights, bf16, a, inner, rows, out);
}

const char* GemvTargetName() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace paramd::onednn
#endif  // HWY_ONCE
