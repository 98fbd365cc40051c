// Default options of AddressSanitizer; part of every program of that build (the
// top-level CMakeLists.txt links it), and of no other.
//
// Abseil poisons the empty slots of its hash tables and unpoisons them when they
// are filled. The distribution's library, where part of that code lives, is not
// instrumented and does the first without the second, so every flat_hash_map
// would be reported. What the sanitizer itself poisons (heap, stack, vectors
// beyond their size) is not affected.
extern "C" __attribute__((weak, visibility("default"), used)) const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allow_user_poisoning=0"; }
