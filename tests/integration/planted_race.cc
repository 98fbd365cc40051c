// A data race on purpose. The ThreadSanitizer run must report it: that is how
// the gate is known to work (see CMakeLists.txt).
#include <cstdio>
#include <thread>

int main() {
  int shared = 0;
  std::thread other([&shared] { ++shared; });
  ++shared;
  other.join();
  std::printf("%d\n", shared);
}
