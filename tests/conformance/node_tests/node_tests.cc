// ONNX's node tests against the list that the repository keeps.
//
//   node_tests --cases FOLDER --list FILE --table FILE [--update] [--only PART] [--verbose]
//
// Fails where a case is not as the list says (better or worse), where an answer
// is wrong, and where the table of operators is not what the list makes.
// --update writes both files. --only runs the cases whose name holds PART and
// says what came of each.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

#include "runtime/base/strings.h"
#include "tests/conformance/node_tests/node_list.h"

namespace paramd {
namespace {

struct Options {
  std::string cases, list, table, only;
  bool update = false;
};

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

// "test_sce_mean_expanded" -> "test_sce_mean".
std::string Unexpanded(const std::string& name) {
  const size_t at = name.find("_expanded");
  return at == std::string::npos ? name : name.substr(0, at);
}

int Run(const Options& options) {
  const auto begin = std::chrono::steady_clock::now();
  const auto names = ListNodeCases(options.cases);
  if (!names.ok()) {
    std::cerr << names.status() << "\n";
    return 2;
  }
  NodeList found;
  OperatorOfCase operators;
  std::vector<std::string> failures;
  int count = 0, passed = 0;
  for (const std::string& name : *names) {
    if (!options.only.empty() && name.find(options.only) == name.npos) continue;
    ++count;
    const auto node_case = ReadNodeCase(options.cases, name);
    NodeOutcome outcome;
    if (node_case.ok()) {
      outcome = RunNodeCase(*node_case);
      const auto base = operators.find(Unexpanded(name));
      operators[name] = base != operators.end() ? base->second : node_case->operators.front();
    } else {
      outcome.kind = NodeOutcome::Kind::kRefused;
      outcome.text = std::string(FromAbsl(node_case.status().message()));
      operators[name] = "(no data)";
    }
    const bool ok = outcome.kind == NodeOutcome::Kind::kPassed;
    passed += ok;
    const std::string_view disputed =
        outcome.kind == NodeOutcome::Kind::kFailed ? DisputedBecause(name) : "";
    if (!disputed.empty()) {
      outcome.kind = NodeOutcome::Kind::kRefused;
      outcome.text = std::string(disputed);
    }
    if (outcome.kind == NodeOutcome::Kind::kFailed) {
      failures.push_back(StrCat(name, " gives a wrong answer: ", outcome.text));
    }
    if (!options.only.empty()) {
      std::cout << (ok                                           ? "passed "
                    : outcome.kind == NodeOutcome::Kind::kFailed ? "FAILED "
                                                                 : "refused ")
                << name << (ok && outcome.compiled ? " (compiled)" : "") << " " << outcome.text
                << "\n";
    }
    found[name] = {ok, !disputed.empty(), ok ? "" : outcome.text};
  }
  if (!options.only.empty()) return failures.empty() ? 0 : 1;

  const std::string table = OperatorTable(found, operators);
  if (options.update) {
    std::ofstream(options.list) << ToText(found);
    std::ofstream(options.table) << table;
  } else {
    const auto kept = ParseNodeList(ReadText(options.list));
    if (!kept.ok()) {
      std::cerr << kept.status() << "\n";
      return 2;
    }
    const std::vector<std::string> differences = Differences(*kept, found);
    failures.insert(failures.end(), differences.begin(), differences.end());
    if (ReadText(options.table) != table) {
      failures.push_back(StrCat(options.table, " is not what the tests say; --update writes it"));
    }
  }
  for (const std::string& failure : failures) std::cout << failure << "\n";
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%d passed, %d refused or disputed\n", passed, count - passed);
  std::printf("Ran %d tests in %.1fs\n", count, seconds.count());
  if (failures.empty()) {
    std::printf("OK (skipped=%d)\n", count - passed);
    return 0;
  }
  std::printf("FAILED (failures=%d, skipped=%d)\n", static_cast<int>(failures.size()),
              count - passed);
  return 1;
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) {
  paramd::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    std::string* const text = argument == "--cases"   ? &options.cases
                              : argument == "--list"  ? &options.list
                              : argument == "--table" ? &options.table
                              : argument == "--only"  ? &options.only
                                                      : nullptr;
    if (argument == "--update") {
      options.update = true;
    } else if (text != nullptr && i + 1 < argc) {
      *text = argv[++i];
    } else {
      std::fprintf(stderr, "node_tests: what is '%s'?\n", argv[i]);
      return 2;
    }
  }
  return paramd::Run(options);
}
