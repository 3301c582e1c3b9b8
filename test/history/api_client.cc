#include "test/history/api_client.h"

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/net/address.h"
#include "orchestrator/apiserver/http/test_client.h"

namespace meltemi::history {
namespace {

using apiserver::TestClient;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class Client final : public ApiClient {
 public:
  Client(const net::Address& to, std::shared_ptr<const tls::Context> context)
      : client_(clock_, to, /*http2=*/true, std::move(context)) {}

  bool WaitForConnection() {
    return client_.Until([this] { return client_.connected || client_.closed; }) && !client_.closed;
  }

  Answer Do(absl::string_view method, absl::string_view path, absl::string_view body) override {
    if (client_.closed || client_.draining) return {};
    const auto* const call = client_.Start(method, path, FieldsOf(body), body);
    client_.Until([this, call] { return call->over() || client_.closed; });
    if (!call->ended) return {};
    Answer answer{.code = call->status};
    auto tree = json::Parse(call->body);
    if (tree.ok()) answer.body = *std::move(tree);
    return answer;
  }

  int Watch(absl::string_view path, const std::function<bool(const json::Value& event)>& on_event,
            const std::function<bool()>& go_on) override {
    if (client_.closed) return 0;
    auto* const call = client_.Start("GET", path);
    for (bool open = true; open && go_on();) {
      client_.loop().RunOnce(milliseconds(5));
      open = !call->over() && !client_.closed;
      if (call->status != 200 && call->status != 0) return call->status;
      size_t begin = 0;
      for (size_t end = 0; (end = call->body.find('\n', begin)) != std::string::npos;
           begin = end + 1) {
        const auto event = json::Parse(absl::string_view(call->body).substr(begin, end - begin));
        if (!event.ok() || !on_event(*event)) return call->status;
      }
      call->body.erase(0, begin);
    }
    return call->status;
  }

 private:
  static TestClient::Fields FieldsOf(absl::string_view body) {
    if (body.empty()) return {};
    return {{"content-type", "application/json"}};
  }

  const SystemClock clock_;
  TestClient client_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiClient>> ApiClient::Connect(const ApiServerAddress& server) {
  const auto context =
      tls::NewClientContext({.identity = tls::KeyPair{ReadFile(server.pki_folder + "/admin.crt"),
                                                      ReadFile(server.pki_folder + "/admin.key")},
                             .alpn = {"h2"},
                             .ca_pem = ReadFile(server.pki_folder + "/ca.crt"),
                             .server_name = "kubernetes.default"});
  if (!context.ok()) return context.status();
  const auto address = net::Address::Parse(server.host_port);
  if (!address.ok()) return absl::InvalidArgumentError(server.host_port);
  auto client = std::make_unique<Client>(*address, *context);
  if (!client->WaitForConnection()) return absl::UnavailableError("the server is not there");
  return client;
}

}  // namespace meltemi::history
