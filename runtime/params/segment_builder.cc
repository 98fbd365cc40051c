#include "runtime/params/segment_builder.h"

namespace paramd {

SegmentBuilder::~SegmentBuilder() {
  if (ticket_ == 0) return;
  memory_.reset();  // Before the reservation goes: capacity never counts low.
  table_->Abandon(ticket_);
}

std::optional<size_t> SegmentBuilder::Find(const ContentId& key) const {
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].key == key) return i;
  }
  return std::nullopt;
}

}  // namespace paramd
