// StoreMetrics: the parameter store's usage, as the metrics room wants it.
//
// Life: borrows the store; unset it from Metrics before the store goes.
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_STORE_USAGE_H_
#define PARAMD_SERVER_STORE_USAGE_H_

#include "runtime/params/parameter_store.h"
#include "server/observability/metrics.h"

namespace paramd {

class StoreMetrics final : public StoreUsageSource {
 public:
  explicit StoreMetrics(const ParameterStore* store) : store_(store) {}

  StoreUsage CurrentStoreUsage() const override {
    const ParameterStore::Usage usage = store_->usage();
    return {.sealed_bytes = usage.table.sealed_bytes,
            .shared_bytes = store_->Ledger().shared_once_bytes,
            .reserved_bytes = usage.table.reserved_bytes,
            .capacity_bytes = usage.table.capacity_bytes,
            .segments = usage.table.segments,
            .deduplicated_bytes = usage.shared_claim_bytes,
            .collapse_failures = usage.collapse_failures};
  }

 private:
  const ParameterStore* const store_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_STORE_USAGE_H_
