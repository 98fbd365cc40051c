// What every kernel here does with a count that is no multiple of the vector:
// whole vectors, then one load and store of the rest.
//
// Included by kernels between HWY_BEFORE_NAMESPACE's passes, once an instruction
// set: Highway's toggle takes the place of an include guard.
#if defined(PARAMD_RUNTIME_BACKENDS_VECTORS_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PARAMD_RUNTIME_BACKENDS_VECTORS_VECTORS_INL_H_
#undef PARAMD_RUNTIME_BACKENDS_VECTORS_VECTORS_INL_H_
#else
#define PARAMD_RUNTIME_BACKENDS_VECTORS_VECTORS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace paramd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls each(first element, how many) for whole vectors of `d` and the rest.
template <class D, class Each>
HWY_INLINE void ForVectors(D d, int64_t count, Each&& each) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) each(i, static_cast<size_t>(lanes));
  if (i < count) each(i, static_cast<size_t>(count - i));
}

// The lanes beyond `count` are 0.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadSome(D d, const T* at, size_t count) {
  return count == hn::Lanes(d) ? hn::LoadU(d, at) : hn::LoadN(d, at, count);
}
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void StoreSome(hn::Vec<D> v, D d, T* at, size_t count) {
  if (count == hn::Lanes(d)) {
    hn::StoreU(v, d, at);
  } else {
    hn::StoreN(v, d, at, count);
  }
}

}  // namespace paramd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // Once an instruction set.
