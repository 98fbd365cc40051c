// What the columns of a classifier's scores are called: ai.onnx.ml keeps the
// names beside the tensor (and ZipMap makes maps of both); here they are a
// hyperparameter of the model, "classes.OUTPUT": a JSON list in column order.
//
// Only the importer's sources include this header: it brings ONNX's messages.
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_FUNCTIONS_CLASS_NAMES_H_
#define PARAMD_RUNTIME_GRAPH_FUNCTIONS_CLASS_NAMES_H_

#include <onnx/onnx_pb.h>

#include <string>
#include <utility>
#include <vector>

namespace paramd {

// One entry per output of the graph whose columns have names. Lists longer
// than 64 KiB are left out.
std::vector<std::pair<std::string, std::string>> ClassNames(const onnx::GraphProto& graph);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_FUNCTIONS_CLASS_NAMES_H_
