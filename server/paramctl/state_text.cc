#include "server/paramctl/state_text.h"

#include "runtime/base/strings.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

// "default, stable", and "(default before)" for where a rollback would go.
std::string NamesOf(const v1::ModelAdminState& model, int64_t version) {
  std::string names;
  for (const v1::NameState& name : model.names()) {
    if (name.version() == version) StrAppend(&names, names.empty() ? "" : ", ", name.name());
  }
  for (const v1::NameState& name : model.names()) {
    if (name.previous() == version && name.version() != version) {
      StrAppend(&names, names.empty() ? "" : ", ", "(", name.name(), " before)");
    }
  }
  return names;
}

}  // namespace

std::string AdminStateText(const v1::GetStateResponse& state) {
  std::string text = StrCat("revision ", state.revision(), ", ",
                            state.converged() ? "converged" : "on its way", "\n\n");
  TextTable table(
      {"MODEL", "VERSION>", "NAMES", "DESIRED", "ACTUAL", "GENERATION>", "WEIGHTS", ""});
  std::string notes;
  for (const v1::ModelAdminState& model : state.models()) {
    if (model.versions().empty()) table.Add({model.model(), "", "", "", "", "", "", model.error()});
    for (const v1::VersionAdminState& version : model.versions()) {
      const std::string desired = !version.desired()      ? "no"
                                  : version.why().empty() ? "yes"
                                                          : version.why();
      table.Add({model.model(), StrCat(version.version()), NamesOf(model, version.version()),
                 desired, StateText(version.state()),
                 version.generation() == 0 ? "" : StrCat(version.generation()),
                 version.weights_id().substr(0, 12), version.reason()});
    }
    if (!model.auto_promote()) {
      StrAppend(&notes, model.model(), ": auto-promote is off, 'default' moves by promote only\n");
    }
    if (!model.error().empty() && !model.versions().empty()) {
      StrAppend(&notes, model.model(), ": ", model.error(), "\n");
    }
  }
  StrAppend(&text, table.ToString());
  if (!notes.empty()) StrAppend(&text, "\n", notes);
  return text;
}

}  // namespace paramd
