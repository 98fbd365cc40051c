// ElfNeeds: the libraries that a program names (DT_NEEDED), read from its file.
//
// Thread-safety: a function.
#ifndef PARAMD_TESTS_INTEGRATION_ELF_NEEDS_H_
#define PARAMD_TESTS_INTEGRATION_ELF_NEEDS_H_

#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace paramd {

// Of a 64-bit program that this machine can execute; empty for anything else.
inline std::vector<std::string> ElfNeeds(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  Elf64_Ehdr header;
  if (bytes.size() < sizeof(header)) return {};
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  std::memcpy(segments.data(), bytes.data() + header.e_phoff, segments.size() * sizeof(Elf64_Phdr));
  const auto offset_of = [&](uint64_t address) -> uint64_t {
    for (const Elf64_Phdr& segment : segments) {
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
          address < segment.p_vaddr + segment.p_filesz) {
        return address - segment.p_vaddr + segment.p_offset;
      }
    }
    return 0;
  };
  std::vector<uint64_t> names;
  uint64_t strings = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_DYNAMIC) continue;
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= segment.p_filesz; at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry;
      std::memcpy(&entry, bytes.data() + segment.p_offset + at, sizeof(entry));
      if (entry.d_tag == DT_NEEDED) names.push_back(entry.d_un.d_val);
      if (entry.d_tag == DT_STRTAB) strings = offset_of(entry.d_un.d_ptr);
    }
  }
  std::vector<std::string> needs;
  for (const uint64_t name : names) needs.emplace_back(bytes.c_str() + strings + name);
  return needs;
}

}  // namespace paramd

#endif  // PARAMD_TESTS_INTEGRATION_ELF_NEEDS_H_
