// A body that is made while it is sent: logs that are followed.
//
// Threads: Read is called on threads of the request pool, one call at a time, and may read local
// files, no more; SetWake is called once, before the first Read. Destroyed on any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock/clock.h"

namespace meltemi::apiserver {

class Translator;

class BodySource {
 public:
  enum class Next : uint8_t {
    kMore,    // read on as soon as the client has room
    kLater,   // nothing at the moment
    kEnd,     // what was appended is the last of it
    kBroken,  // the rest can't be had: the client sees that its answer was cut off
  };
  virtual ~BodySource() = default;
  // Appends about `bytes_max` at most to `out`.
  virtual Next Read(size_t bytes_max, std::string& out) = 0;
  // After kLater it is read again when `wake` has been called (from any thread, as often as one
  // likes, also once the answer is over), or after retry_after().
  virtual void SetWake(std::function<void()> wake) {}
  virtual Duration retry_after() const { return seconds(1); }
  // Not null: the client has asked for an upgrade, and this speaks its protocol. What is read goes
  // through it as the bytes of a peer, which hears nothing; the answer is a tunnel.
  virtual std::shared_ptr<Translator> translator() const { return nullptr; }
};

}  // namespace meltemi::apiserver
