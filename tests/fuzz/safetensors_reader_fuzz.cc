// Any bytes as a safetensors file: refused, or read to the end.
#include "runtime/checkpoints/safetensors_reader.h"
#include "tests/fuzz/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto checkpoint = paramd::ReadSafetensors(paramd::FuzzFile(data, size));
  if (checkpoint.ok()) paramd::FuzzReadAll(**checkpoint, size);
  return 0;
}
