// AdminMessages: what ModelAdmin says, as paramd.v1's messages.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_ADMIN_MESSAGES_H_
#define PARAMD_SERVER_RPC_ADMIN_MESSAGES_H_

#include <string>
#include <string_view>

#include "proto/paramd/v1/admin.pb.h"
#include "server/keeper/keeper_client.h"
#include "server/state/model_admin.h"

namespace paramd {

// "serving" -> VERSION_STATE_SERVING; UNSPECIFIED for anything else.
v1::VersionState VersionStateOf(std::string_view name);

void FillPlan(const LoadPlan& plan, v1::LoadPlan* message);
void FillProgress(const LoadEvent& event, v1::LoadProgress* message);
void FillName(const NameState& name, v1::NameState* message);
// `model` empty: all.
void FillState(const StateReport& state, std::string_view model, v1::GetStateResponse* message);
void FillVerify(const VerifyReport& report, v1::VerifyReport* message);
void FillUpgrade(const KeeperClient::UpgradeStatus& status, v1::UpgradeStatusResponse* message);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_ADMIN_MESSAGES_H_
