#include "tests/conformance/node_tests/node_list.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_split.h"
#include "runtime/base/strings.h"
#include "runtime/graph/functions/own_functions.h"
#include "runtime/graph/interpreter_builtins.h"
#include "runtime/graph/op_expansion.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

constexpr std::string_view kHeader =
    "# ONNX's node tests (onnx==1.17.0), one line each: passed, refused with what a user would "
    "read, or\n"
    "# disputed where a case contradicts ONNX's own definition of the operator.\n"
    "# Written by tests/conformance/run_node_tests --update.\n";

// "ai.onnx.ml.Normalizer" -> {"ai.onnx.ml", "Normalizer"}.
std::pair<std::string, std::string> SplitName(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// "7-10, 13-22": the opsets that rows cover.
std::string Opsets(const std::string& domain, const std::string& op) {
  std::vector<std::pair<int64_t, int64_t>> spans;
  for (const OpRow* row : AllOps()) {
    if (row->domain != domain || row->op != op) continue;
    spans.emplace_back(domain.empty() ? std::max(row->since, kOpsetMin) : row->since, row->until);
  }
  for (const OwnFunction* row : AllOwnFunctions()) {
    if (row->domain != domain || row->op != op) continue;
    const bool standard = domain.empty();
    spans.emplace_back(standard ? std::max(row->since, kOpsetMin) : row->since,
                       standard ? std::min(row->until, kOpsetMax) : row->until);
  }
  std::sort(spans.begin(), spans.end());
  std::vector<std::pair<int64_t, int64_t>> merged;
  for (const auto& span : spans) {
    if (!merged.empty() && span.first - 1 <= merged.back().second) {
      merged.back().second = std::max(merged.back().second, span.second);
    } else {
      merged.push_back(span);
    }
  }
  std::string text;
  for (const auto& [since, until] : merged) {
    StrAppend(&text, text.empty() ? "" : ", ", since,
              until == since         ? ""
              : until == kAnyVersion ? "-"
                                     : StrCat("-", until));
  }
  return text;
}

std::string How(const std::string& name, bool any_passed) {
  const auto [domain, op] = SplitName(name);
  for (const OpRow* row : AllOps()) {
    const bool runs = row->lower != nullptr || (row->fold != nullptr && row->op != "NonZero");
    if (row->domain == domain && row->op == op && runs) return "op";
  }
  if (FindBuiltin(domain, op) != nullptr) return "interpreter";
  for (const OwnFunction* row : AllOwnFunctions()) {
    if (row->domain == domain && row->op == op) return "definition";
  }
  if (IsExpanded(domain, op)) return "rewritten";
  return any_passed ? "ONNX's function" : "no";
}

std::string Cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.replace(at, 1, "\\|");
  }
  return text;
}

// Without the node's name, so that refusals for one reason are one line.
std::string Reason(const std::string& refusal) {
  const size_t end = refusal.find("): ");
  return refusal.starts_with("node '") && end != std::string::npos ? refusal.substr(end + 3)
                                                                   : refusal;
}

}  // namespace

absl::StatusOr<NodeList> ParseNodeList(std::string_view text) {
  NodeList list;
  for (const auto line : absl::StrSplit(ToAbsl(text), '\n')) {
    const std::string_view view = FromAbsl(line);
    if (view.empty() || view.starts_with("#")) continue;
    const bool passed = view.starts_with("passed ");
    const bool disputed = view.starts_with("disputed ");
    if (!passed && !disputed && !view.starts_with("refused ")) {
      return absl::InvalidArgumentError(StrCat("no such line: ", view));
    }
    std::string_view rest = view.substr(view.find(' ') + 1);
    const size_t colon = rest.find(": ");
    NodeListEntry entry;
    entry.passed = passed;
    entry.disputed = disputed;
    if (!passed && colon != rest.npos) entry.refusal = std::string(rest.substr(colon + 2));
    list[std::string(passed ? rest : rest.substr(0, colon))] = std::move(entry);
  }
  return list;
}

std::string ToText(const NodeList& list) {
  std::string text(kHeader);
  for (const auto& [name, entry] : list) {
    StrAppend(&text,
              entry.passed     ? "passed "
              : entry.disputed ? "disputed "
                               : "refused ",
              name, entry.passed ? "" : ": ", entry.refusal, "\n");
  }
  return text;
}

std::vector<std::string> Differences(const NodeList& kept, const NodeList& found) {
  std::vector<std::string> lines;
  for (const auto& [name, entry] : found) {
    const auto it = kept.find(name);
    if (it == kept.end()) {
      lines.push_back(StrCat(name, " is not in the list"));
    } else if (entry.passed != it->second.passed) {
      lines.push_back(entry.passed
                          ? StrCat(name, " passes; the list refuses it: ", it->second.refusal)
                          : StrCat(name, " passed before and is refused: ", entry.refusal));
    } else if (entry.disputed != it->second.disputed || entry.refusal != it->second.refusal) {
      lines.push_back(StrCat(name, " is refused with another sentence: ", entry.refusal,
                             "\n    before: ", it->second.refusal));
    }
  }
  for (const auto& [name, entry] : kept) {
    if (!found.contains(name)) lines.push_back(StrCat(name, " is in the list only"));
  }
  return lines;
}

std::string OperatorTable(const NodeList& list, const OperatorOfCase& operators) {
  struct Row {
    int passed = 0, all = 0;
    std::set<std::string> refusals;
  };
  std::map<std::string, Row> rows;
  for (const OpRow* op : AllOps()) {
    if (op->domain == kInternalDomain) continue;
    rows[op->domain.empty() ? std::string(op->op) : StrCat(op->domain, ".", op->op)];
  }
  for (const OwnFunction* function : AllOwnFunctions()) {
    rows[function->domain.empty() ? std::string(function->op)
                                  : StrCat(function->domain, ".", function->op)];
  }
  int passed = 0, disputed = 0;
  for (const auto& [name, entry] : list) {
    disputed += entry.disputed;
    const auto it = operators.find(name);
    if (it == operators.end()) continue;
    Row& row = rows[it->second];
    ++row.all;
    row.passed += entry.passed;
    passed += entry.passed;
    if (!entry.passed) row.refusals.insert(Reason(entry.refusal));
  }
  std::string text = StrCat(
      "# Operators\n\nWhat this build runs, and how it does on ONNX's own node tests (onnx "
      "1.17.0): ",
      passed, " of ", list.size(), " pass; ", disputed,
      " are disputed (their data contradict ONNX's definition, or are numpy's random "
      "numbers); the others are "
      "refused before they run, and none gives a wrong answer. This page is "
      "written by\n`tests/conformance/run_node_tests --update`; the test fails where it is not "
      "what the build does. What a refusal means: "
      "[README.md](README.md#why-was-my-model-refused).\n\n"
      "How: *op* is compiled for its shapes; *rewritten* becomes other operators when the model is "
      "read; *ONNX's function* is expanded from its definition in ONNX; *definition* is expanded "
      "from this build's own "
      "(functions/), compared with onnxruntime by tests/conformance/made_models_test.py; "
      "*interpreter* makes the "
      "whole graph run node by node.\n\n"
      "| operator | how | opsets | node tests | refused |\n|---|---|---|---|---|\n");
  for (const auto& [name, row] : rows) {
    const auto [domain, op] = SplitName(name);
    std::string refused;
    for (const std::string& reason : row.refusals) {
      if (refused.size() > 300) {
        StrAppend(&refused, "; ...");
        break;
      }
      StrAppend(&refused, refused.empty() ? "" : "; ", reason);
    }
    StrAppend(&text, "| ", name, " | ", How(name, row.passed > 0), " | ", Opsets(domain, op), " | ",
              row.all == 0 ? "-" : StrCat(row.passed, " of ", row.all), " | ", Cell(refused),
              " |\n");
  }
  return text;
}

}  // namespace paramd
