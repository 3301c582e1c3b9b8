// One function per API group, each in the file of its name (batch.cc …): registers the strategies,
// columns and storage forms of the group's kinds. What is not registered is served with defaults.
//
// Threads: called once, while the server starts.
#pragma once

#include "orchestrator/apiserver/kinds/kind_table.h"

namespace meltemi::apiserver {

void AddCore(KindTable& table);
void AddApps(KindTable& table);
void AddBatch(KindTable& table);
void AddAutoscaling(KindTable& table);
void AddNetworking(KindTable& table);
void AddDiscovery(KindTable& table);
void AddPolicy(KindTable& table);
void AddStorage(KindTable& table);
void AddRbac(KindTable& table);
void AddCoordination(KindTable& table);
void AddScheduling(KindTable& table);
void AddRuntimeClasses(KindTable& table);
void AddAdmissionRegistration(KindTable& table);
void AddEvents(KindTable& table);
void AddMetrics(KindTable& table);

}  // namespace meltemi::apiserver
