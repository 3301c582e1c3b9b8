// gRPC C++ as it is, on both ends of a scenario.
//
//   grpc_echo serve PORT NAME
//   grpc_echo unary TARGET COUNT      prints how many calls were answered, by whom, and failures
//   grpc_echo stream TARGET COUNT     one call, COUNT messages to and fro

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "test/apps/echo.grpc.pb.h"

namespace meltemi::test {
namespace {

class EchoService final : public Echo::Service {
 public:
  explicit EchoService(std::string name) : name_(std::move(name)) {}

  grpc::Status Say(grpc::ServerContext*, const EchoRequest* request, EchoReply* reply) override {
    if (request->text() == "fail") return {grpc::StatusCode::UNAVAILABLE, "asked to fail"};
    Fill(*request, reply);
    return grpc::Status::OK;
  }

  grpc::Status Chat(grpc::ServerContext*,
                    grpc::ServerReaderWriter<EchoReply, EchoRequest>* stream) override {
    EchoRequest request;
    EchoReply reply;
    while (stream->Read(&request)) {
      Fill(request, &reply);
      stream->Write(reply);
    }
    return grpc::Status::OK;
  }

 private:
  void Fill(const EchoRequest& request, EchoReply* reply) const {
    reply->set_text(request.text());
    reply->set_server(name_);
  }
  const std::string name_;
};

int Serve(const std::string& port, const std::string& name) {
  EchoService service(name);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("0.0.0.0:" + port, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  server->Wait();
  return 0;
}

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  context->set_wait_for_ready(true);
  return context;
}

int Unary(Echo::Stub& stub, int count) {
  std::map<std::string, int> answered;
  int failed = 0;
  std::string trouble;
  for (int i = 0; i < count; ++i) {
    EchoRequest request;
    request.set_text(std::to_string(i));
    EchoReply reply;
    const grpc::Status status = stub.Say(Context().get(), request, &reply);
    if (status.ok() && reply.text() == request.text()) {
      ++answered[reply.server()];
    } else {
      ++failed;
      trouble = status.error_message();
    }
  }
  for (const auto& [server, times] : answered) std::printf("%s %d\n", server.c_str(), times);
  std::printf("failed %d %s\n", failed, trouble.c_str());
  return failed == 0 ? 0 : 1;
}

int Stream(Echo::Stub& stub, int count) {
  const auto context = Context();
  const auto stream = stub.Chat(context.get());
  int echoed = 0;
  for (int i = 0; i < count; ++i) {
    EchoRequest request;
    request.set_text(std::string(1 + i * 37 % 5000, 'x') + std::to_string(i));
    EchoReply reply;
    if (!stream->Write(request) || !stream->Read(&reply)) break;
    echoed += reply.text() == request.text();
  }
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  std::printf("echoed %d status %d %s\n", echoed, status.error_code(),
              status.error_message().c_str());
  return echoed == count && status.ok() ? 0 : 1;
}

int Main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr,
                 "usage: grpc_echo serve PORT NAME | unary TARGET COUNT | stream TARGET COUNT\n");
    return 2;
  }
  const std::string verb = argv[1];
  if (verb == "serve") return Serve(argv[2], argv[3]);
  const auto stub = Echo::NewStub(grpc::CreateChannel(argv[2], grpc::InsecureChannelCredentials()));
  return verb == "unary" ? Unary(*stub, std::atoi(argv[3])) : Stream(*stub, std::atoi(argv[3]));
}

}  // namespace
}  // namespace meltemi::test

int main(int argc, char** argv) { return meltemi::test::Main(argc, argv); }
