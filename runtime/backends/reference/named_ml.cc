// What models of decision trees, support vectors and labels are made of.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// --- Tree ensembles ---------------------------------------------------------------

// One row of the table of nodes, as graph/functions/ml_trees.cc writes it.
struct TreeNode {
  int32_t feature, mode, missing_is_true, yes, no, first_member;
};
static_assert(sizeof(TreeNode) == 6 * sizeof(int32_t));

enum TreeMode : int32_t {
  kLessOrEqual,
  kLess,
  kGreaterOrEqual,
  kGreater,
  kEqual,
  kNotEqual,
  kMember,
  kTreeLeaf = 255
};
enum class Aggregate : int64_t { kAverage, kSum, kMin, kMax };

template <typename W>
bool IsMember(double value, const W* members, int64_t first, int64_t count) {
  for (int64_t i = first; i < count && !std::isnan(members[i]); ++i) {
    if (value == static_cast<double>(members[i])) return true;
  }
  return false;
}

bool Compares(int32_t mode, double value, double split) {
  switch (mode) {
    case kLessOrEqual:
      return value <= split;
    case kLess:
      return value < split;
    case kGreaterOrEqual:
      return value >= split;
    case kGreater:
      return value > split;
    case kEqual:
      return value == split;
    default:
      return value != split;
  }
}

struct TreeSizes {
  int64_t rows, features, nodes, trees, leaves, members, targets;
};

// {x [rows, features], nodes i32 [n, 6], splits [n], roots i32, targets i32, weights, members or
// absent}; ints {aggregate}; y [rows, targets] of the weights' type. A leaf's weights are
// [yes, no) of the two lists; a walk visits no node twice, or the table is refused.
template <typename X, typename W>
absl::Status RunTrees(const TreeSizes& sizes, Aggregate aggregate, const KernelArgs& args) {
  const auto* nodes = args.in<TreeNode>(1);
  const W* splits = args.in<W>(2);
  const auto* roots = args.in<int32_t>(3);
  const auto* targets = args.in<int32_t>(4);
  const W* weights = args.in<W>(5);
  const W* members = sizes.members > 0 ? args.in<W>(6) : nullptr;
  // Sums in f64: the order of the trees then changes nothing that is seen.
  auto* sums = reinterpret_cast<double*>(args.scratch);
  for (int64_t row = 0; row < sizes.rows; ++row) {
    const X* x = args.in<X>(0) + row * sizes.features;
    // NaN: no leaf has counted for this target yet.
    std::fill_n(sums, sizes.targets, std::numeric_limits<double>::quiet_NaN());
    for (int64_t tree = 0; tree < sizes.trees; ++tree) {
      int64_t at = roots[tree];
      for (int64_t steps = 0;; ++steps) {
        if (at < 0 || at >= sizes.nodes || steps > sizes.nodes) {
          return absl::InvalidArgumentError(StrCat("a tree goes to node ", at));
        }
        const TreeNode& node = nodes[at];
        if (node.mode == kTreeLeaf) break;
        if (node.feature < 0 || node.feature >= sizes.features) {
          return absl::InvalidArgumentError(
              StrCat("a tree reads feature ", node.feature, " of ", sizes.features));
        }
        const auto value = static_cast<double>(x[node.feature]);
        const bool yes = node.mode == kMember
                             ? IsMember(value, members, node.first_member, sizes.members)
                             : Compares(node.mode, value, static_cast<double>(splits[at]));
        at = yes || (node.missing_is_true != 0 && std::isnan(value)) ? node.yes : node.no;
      }
      const TreeNode& leaf = nodes[at];
      for (int64_t i = leaf.yes; i < leaf.no; ++i) {
        if (i < 0 || i >= sizes.leaves || targets[i] < 0 || targets[i] >= sizes.targets) {
          return absl::InvalidArgumentError("a leaf counts for a target that there is not");
        }
        double& sum = sums[targets[i]];
        const auto weight = static_cast<double>(weights[i]);
        if (std::isnan(sum)) {
          sum = weight;
        } else if (aggregate == Aggregate::kMin) {
          sum = std::min(sum, weight);
        } else if (aggregate == Aggregate::kMax) {
          sum = std::max(sum, weight);
        } else {
          sum += weight;
        }
      }
    }
    W* y = args.out<W>(0) + row * sizes.targets;
    for (int64_t t = 0; t < sizes.targets; ++t) {
      double sum = std::isnan(sums[t]) ? 0 : sums[t];
      if (aggregate == Aggregate::kAverage) sum /= static_cast<double>(sizes.trees);
      y[t] = static_cast<W>(sum);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<KernelPlan> Trees(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &nodes = In(spec, 1).shape, &y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(x.rank() == 2 && y.rank() == 2 && y.dim(0) == x.dim(0) &&
                                     nodes.rank() == 2 && nodes.dim(1) == 6,
                                 "x, nodes and y do not fit"));
  PARAMD_RETURN_IF_ERROR(Require(params.ints[0] >= 0 && params.ints[0] <= 3, "no such aggregate"));
  const TreeSizes sizes = {x.dim(0),
                           x.dim(1),
                           nodes.dim(0),
                           In(spec, 3).shape.elements(),
                           In(spec, 5).shape.elements(),
                           HasIn(spec, 6) ? In(spec, 6).shape.elements() : 0,
                           y.dim(1)};
  PARAMD_RETURN_IF_ERROR(Require(
      In(spec, 2).shape.elements() == sizes.nodes && In(spec, 4).shape.elements() == sizes.leaves,
      "the tables' lengths do not fit"));
  for (const int i : {1, 3, 4}) {
    PARAMD_RETURN_IF_ERROR(
        Require(In(spec, i).dtype == DType::kI32, "input ", i, " is not of i32"));
  }
  PARAMD_RETURN_IF_ERROR(SameType(spec, 2, 5));
  if (HasIn(spec, 6)) PARAMD_RETURN_IF_ERROR(SameType(spec, 5, 6));
  PARAMD_RETURN_IF_ERROR(
      Require(Out(spec, 0).dtype == In(spec, 5).dtype, "the result has another type"));
  const auto aggregate = static_cast<Aggregate>(params.ints[0]);
  const uint64_t scratch = static_cast<uint64_t>(sizes.targets) * sizeof(double);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename X>() -> absl::StatusOr<KernelPlan> {
    return VisitFloat(
        In(spec, 5).dtype, params.op, [&]<typename W>() -> absl::StatusOr<KernelPlan> {
          return KernelPlan{
              [=](const KernelArgs& args) { return RunTrees<X, W>(sizes, aggregate, args); },
              scratch};
        });
  });
}

// --- Labels ------------------------------------------------------------------------

// NaN after all numbers, as the tables are sorted.
template <typename K>
bool KeyBefore(const K& a, const K& b) {
  if constexpr (std::is_floating_point_v<K>) {
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
  }
  return a < b;
}

template <typename Fn>
auto VisitKey(DType dtype, std::string_view op, Fn&& fn)
    -> decltype(fn.template operator()<float>()) {
  if (dtype == DType::kString) return fn.template operator()<std::string>();
  return VisitNumber(dtype, op, fn);
}

// {x, keys sorted, values of equally many, what others become [1] or absent}: the value of the
// key that each element is. InvalidArgument for one that is no key, where nothing stands for it.
absl::StatusOr<KernelPlan> LabelLookup(const OpSpec& spec, const NamedParams& params) {
  const int64_t count = In(spec, 0).shape.elements(), keys = In(spec, 1).shape.elements();
  const bool has_default = HasIn(spec, 3);
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 1));
  PARAMD_RETURN_IF_ERROR(Require(In(spec, 2).shape.elements() == keys &&
                                     Out(spec, 0).shape.elements() == count &&
                                     Out(spec, 0).dtype == In(spec, 2).dtype,
                                 "keys, values and result do not fit"));
  if (has_default) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, 2, 3));
    PARAMD_RETURN_IF_ERROR(Require(In(spec, 3).shape.elements() == 1, "the default is not one"));
  }
  return VisitKey(In(spec, 0).dtype, params.op, [&]<typename K>() -> absl::StatusOr<KernelPlan> {
    return VisitMovable(
        In(spec, 2).dtype, params.op, [&]<typename V>() -> absl::StatusOr<KernelPlan> {
          return KernelPlan{[=](const KernelArgs& args) {
            const K* first = args.in<K>(1);
            for (int64_t i = 0; i < count; ++i) {
              const K& x = args.in<K>(0)[i];
              const K* at = std::lower_bound(first, first + keys, x, KeyBefore<K>);
              if (at != first + keys && !KeyBefore(x, *at)) {
                args.out<V>(0)[i] = args.in<V>(2)[at - first];
              } else if (has_default) {
                args.out<V>(0)[i] = args.in<V>(3)[0];
              } else {
                return absl::InvalidArgumentError(
                    StrCat("the value at position ", i, " is none of the ", keys, " categories"));
              }
            }
            return absl::OkStatus();
          }};
        });
  });
}

// --- n-grams -------------------------------------------------------------------------

// {ids i64 [rows, tokens] or [tokens], grams i64 [n, 1 + longest] (length, ids, zeros behind;
// sorted), columns i32 [n]}; ints {shortest, longest, skips}: how often each is there, with up to
// `skips` tokens left out between any two; f32.
absl::StatusOr<KernelPlan> NGramCounts(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &grams = In(spec, 1).shape, &y = Out(spec, 0).shape;
  const int64_t shortest = params.ints[0], longest = params.ints[1], skips = params.ints[2];
  PARAMD_RETURN_IF_ERROR(Require(x.rank() >= 1 && x.rank() <= 2 && y.rank() == x.rank() &&
                                     grams.rank() == 2 && grams.dim(1) == longest + 1 &&
                                     shortest >= 1 && shortest <= longest && skips >= 0 &&
                                     In(spec, 2).shape.elements() == grams.dim(0),
                                 "ids, grams and columns do not fit"));
  PARAMD_RETURN_IF_ERROR(
      Require(In(spec, 0).dtype == DType::kI64 && In(spec, 1).dtype == DType::kI64 &&
                  In(spec, 2).dtype == DType::kI32 && Out(spec, 0).dtype == DType::kF32,
              "ids and grams are not of i64, or columns not of i32"));
  const int64_t tokens = x.dim(x.rank() - 1), columns = y.dim(y.rank() - 1);
  const int64_t rows = x.rank() == 2 ? x.dim(0) : 1, count = grams.dim(0), width = longest + 1;
  const auto scratch = static_cast<uint64_t>(width) * sizeof(int64_t);
  Kernel run = [=](const KernelArgs& args) {
    auto* const gram = reinterpret_cast<int64_t*>(args.scratch);
    const auto* table = args.in<int64_t>(1);
    std::fill_n(args.out<float>(0), rows * columns, 0.0f);
    const auto find = [&]() -> int64_t {
      int64_t low = 0, high = count;
      while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int64_t* at = table + middle * width;
        const auto [mine, other] = std::mismatch(at, at + width, gram);
        if (mine == at + width) return middle;
        (*mine < *other ? low : high) = *mine < *other ? middle + 1 : middle;
      }
      return -1;
    };
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t* ids = args.in<int64_t>(0) + row * tokens;
      for (int64_t length = shortest; length <= longest; ++length) {
        // One token has nothing between.
        for (int64_t skip = 0; skip <= (length == 1 ? 0 : skips); ++skip) {
          const int64_t reach = (length - 1) * (skip + 1);
          for (int64_t first = 0; first + reach < tokens; ++first) {
            std::fill_n(gram, width, int64_t{0});
            gram[0] = length;
            for (int64_t i = 0; i < length; ++i) gram[1 + i] = ids[first + i * (skip + 1)];
            const int64_t found = find();
            if (found < 0) continue;
            const int32_t column = args.in<int32_t>(2)[found];
            if (column < 0 || column >= columns) {
              return absl::InvalidArgumentError(StrCat("an n-gram counts for column ", column));
            }
            args.out<float>(0)[row * columns + column] += 1;
          }
        }
      }
    }
    return absl::OkStatus();
  };
  return KernelPlan{std::move(run), scratch};
}

// --- Coupled probabilities -----------------------------------------------------------

// The probabilities p of k classes for which r_ji p_i = r_ij p_j holds best, where r_ij is how
// probable i is against j: the second method of Wu, Lin and Weng (2004), as libsvm iterates it.
// r is [k, k], q and qp are scratch of k * k and k.
void Couple(int64_t k, const double* r, double* q, double* qp, double* p) {
  for (int64_t i = 0; i < k; ++i) {
    p[i] = 1.0 / static_cast<double>(k);
    q[i * k + i] = 0;
    for (int64_t j = 0; j < k; ++j) {
      if (j == i) continue;
      q[i * k + i] += r[j * k + i] * r[j * k + i];
      q[i * k + j] = -r[j * k + i] * r[i * k + j];
    }
  }
  const double near = 0.005 / static_cast<double>(k);
  constexpr int kRounds = 100;
  for (int round = 0; round < kRounds; ++round) {
    double pqp = 0, error = 0;
    for (int64_t i = 0; i < k; ++i) {
      qp[i] = 0;
      for (int64_t j = 0; j < k; ++j) qp[i] += q[i * k + j] * p[j];
      pqp += p[i] * qp[i];
    }
    for (int64_t i = 0; i < k; ++i) error = std::max(error, std::abs(qp[i] - pqp));
    if (error < near) return;
    for (int64_t i = 0; i < k; ++i) {
      const double step = (pqp - qp[i]) / q[i * k + i];
      p[i] += step;
      pqp = (pqp + step * (step * q[i * k + i] + 2 * qp[i])) / (1 + step) / (1 + step);
      for (int64_t j = 0; j < k; ++j) {
        qp[j] = (qp[j] + step * q[i * k + j]) / (1 + step);
        p[j] /= 1 + step;
      }
    }
  }
}

// {scores [rows, k (k - 1) / 2] of class i against j for all i < j, a, b}: [rows, k].
absl::StatusOr<KernelPlan> PairwiseProbability(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(
      Require(x.rank() == 2 && y.rank() == 2 && x.dim(0) == y.dim(0), "x and y do not fit"));
  const int64_t rows = x.dim(0), pairs = x.dim(1), k = y.dim(1);
  PARAMD_RETURN_IF_ERROR(Require(k >= 2 && k <= 1024 && pairs == k * (k - 1) / 2 &&
                                     In(spec, 1).shape.elements() == pairs &&
                                     In(spec, 2).shape.elements() == pairs,
                                 pairs, " pairs of ", k, " classes"));
  for (const int i : {1, 2}) PARAMD_RETURN_IF_ERROR(SameType(spec, 0, i));
  const auto scratch = static_cast<uint64_t>(2 * k * k + 2 * k) * sizeof(double);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    Kernel run = [=](const KernelArgs& args) {
      auto* const r = reinterpret_cast<double*>(args.scratch);
      double* const q = r + k * k;
      double* const qp = q + k * k;
      double* const p = qp + k;
      std::fill_n(r, k * k, 0.0);
      for (int64_t row = 0; row < rows; ++row) {
        int64_t pair = 0;
        for (int64_t i = 0; i < k; ++i) {
          for (int64_t j = i + 1; j < k; ++j, ++pair) {
            const double at = static_cast<double>(args.in<T>(0)[row * pairs + pair]) *
                                  static_cast<double>(args.in<T>(1)[pair]) +
                              static_cast<double>(args.in<T>(2)[pair]);
            const double one = 1 / (1 + std::exp(at));
            r[i * k + j] = std::clamp(one, 1e-7, 1 - 1e-7);
            r[j * k + i] = 1 - r[i * k + j];
          }
        }
        Couple(k, r, q, qp, p);
        for (int64_t i = 0; i < k; ++i) args.out<T>(0)[row * k + i] = static_cast<T>(p[i]);
      }
      return absl::OkStatus();
    };
    return KernelPlan{std::move(run), scratch};
  });
}

constexpr NamedOp kNamedMl[] = {
    {"tree_ensemble", 6, 7, 1, Trees},
    {"label_lookup", 3, 4, 0, LabelLookup},
    {"ngram_counts", 3, 3, 3, NGramCounts},
    {"pairwise_probability", 3, 3, 0, PairwiseProbability},
};

}  // namespace

absl::Span<const NamedOp> NamedMl() { return kNamedMl; }

}  // namespace paramd::reference
