// A heap overflow and an integer overflow on purpose. The AddressSanitizer run
// must report each: that is how the gate is known to work (see CMakeLists.txt).
#include <climits>
#include <cstdio>
#include <cstring>
#include <memory>

namespace {

// What the compiler cannot know.
int Opaque(int value) {
  volatile int hidden = value;
  return hidden;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "heap") == 0) {
    const auto bytes = std::make_unique<char[]>(static_cast<size_t>(Opaque(8)));
    bytes[static_cast<size_t>(Opaque(8))] = 1;
    std::printf("%d\n", bytes[static_cast<size_t>(Opaque(0))]);
  } else {
    std::printf("%d\n", Opaque(INT_MAX) + 1);
  }
}
