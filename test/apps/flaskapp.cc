// The tutorial's flaskapp: GET /env/NAME answers with the value of the environment variable NAME.
//
// An ordinary program on libevent's HTTP server that knows nothing of the mesh. Each request is
// logged to stdout: method, path, Host, and the header "lab" that the canary goes by.

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

const char* MethodName(evhttp_request* request) {
  switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
      return "GET";
    case EVHTTP_REQ_POST:
      return "POST";
    case EVHTTP_REQ_HEAD:
      return "HEAD";
    default:
      return "OTHER";
  }
}

const char* HeaderOr(evhttp_request* request, const char* name, const char* otherwise) {
  const char* value = evhttp_find_header(evhttp_request_get_input_headers(request), name);
  return value == nullptr ? otherwise : value;
}

void Answer(evhttp_request* request, void*) {
  const std::string path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
  std::printf("%s %s host=%s lab=%s\n", MethodName(request), path.c_str(),
              HeaderOr(request, "Host", "-"), HeaderOr(request, "lab", "-"));
  std::fflush(stdout);
  const std::string prefix = "/env/";
  const char* value =
      path.rfind(prefix, 0) == 0 ? std::getenv(path.c_str() + prefix.size()) : nullptr;
  if (value == nullptr) {
    evhttp_send_error(request, 404, "Not Found");
    return;
  }
  evbuffer* body = evbuffer_new();
  evbuffer_add(body, value, std::char_traits<char>::length(value));
  evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                    "text/plain; charset=utf-8");
  evhttp_send_reply(request, 200, "OK", body);
  evbuffer_free(body);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const int port = argc > 1 ? std::atoi(argv[1]) : 80;
  event_base* base = event_base_new();
  evhttp* server = evhttp_new(base);
  evhttp_set_gencb(server, Answer, nullptr);
  if (evhttp_bind_socket(server, "0.0.0.0", static_cast<ev_uint16_t>(port)) != 0) {
    std::fprintf(stderr, "flaskapp: cannot listen on port %d\n", port);
    return 1;
  }
  event_base_dispatch(base);
  return 0;
}
