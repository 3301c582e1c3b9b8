// What goes over this machine's interfaces, as bytes: whether a conversation is TLS, and whether a
// text can be read in it.
//
// One thread captures; the test's reads when it has stopped. Takes root.
#pragma once

#include <atomic>
#include <cstdint>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/string_view.h"

namespace meltemi::mesh {

struct Captured {
  int64_t packets = 0;             // TCP segments with content to or from the port
  int64_t tls_records = 0;         // that begin with a TLS record's header
  std::set<std::string> versions;  // that ServerHellos chose: "TLSv1.3", "TLSv1.2"
  bool readable = false;           // the text was seen
};

class Capture {
 public:
  // Of all interfaces of this network namespace, TCP with this port; looks for `text`. Bounded to
  // 200,000 packets.
  Capture(uint16_t port, std::string text);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Why nothing is captured; "": it is.
  const std::string& trouble() const { return trouble_; }
  Captured Stop();

 private:
  void Work();
  void Take(absl::string_view packet);

  const uint16_t port_;
  const std::string text_;
  std::string trouble_;
  int socket_ = -1;
  std::atomic<bool> stop_{false};
  Captured captured_;
  std::thread thread_;
};

// What one TCP segment's content says.
void LookAt(absl::string_view content, absl::string_view text, Captured* captured);

}  // namespace meltemi::mesh
