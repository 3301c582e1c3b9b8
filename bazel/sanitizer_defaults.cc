// Suppressions for TSan that every test links. Debian's Abseil and gRPC are not instrumented: TSan
// sees their memmove and free but not their locks. Our own code uses std::mutex, which TSan knows,
// and not absl::Mutex, which it would not see.

extern "C" const char* __tsan_default_suppressions();

extern "C" const char* __tsan_default_suppressions() {
  return "race:synchronization_internal::\n"
         "race:grpc_core::\n"
         "race:grpc::internal::\n"
         "race:^grpc_\n"
         "race:^gpr_\n"
         "race:^upb_\n"
         "mutex:grpc_core::\n"
         "deadlock:grpc_core::\n";
}
