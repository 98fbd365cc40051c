// Field numbers of the messages that are read and written without Protobuf, as
// in proto/inference/grpc_service.proto: one struct a message.
#ifndef PARAMD_SERVER_RPC_KSERVE_INFER_FIELDS_H_
#define PARAMD_SERVER_RPC_KSERVE_INFER_FIELDS_H_

#include <cstdint>

namespace paramd {

struct InferRequestField {
  enum : uint32_t {
    kModelName = 1,
    kModelVersion = 2,
    kId = 3,
    kParameters = 4,
    kInputs = 5,
    kOutputs = 6,
    kRawInputs = 7,
  };
};

struct InferInputField {
  enum : uint32_t { kName = 1, kDatatype = 2, kShape = 3, kParameters = 4, kContents = 5 };
};

struct InferRequestedOutputField {
  enum : uint32_t { kName = 1, kParameters = 2 };
};

struct InferResponseField {
  enum : uint32_t {
    kModelName = 1,
    kModelVersion = 2,
    kId = 3,
    kParameters = 4,
    kOutputs = 5,
    kRawOutputs = 6,
  };
};

struct InferOutputField {
  enum : uint32_t { kName = 1, kDatatype = 2, kShape = 3, kParameters = 4 };
};

struct StreamInferResponseField {
  enum : uint32_t { kErrorMessage = 1, kInferResponse = 2 };
};

// Of a map's entry, which is a message too.
struct MapEntryField {
  enum : uint32_t { kKey = 1, kValue = 2 };
};

// The alternatives of InferParameterValue are in this order.
struct InferParameterField {
  enum : uint32_t { kBool = 1, kInt64 = 2, kString = 3, kDouble = 4, kUint64 = 5 };
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_INFER_FIELDS_H_
