// The intrusive list behind Loop::AtTurnEnd.
#pragma once

#include "base/loop/loop.h"

namespace meltemi {

// Loop-owned. Tasks unlink themselves when they are destroyed.
class TurnEndList {
 public:
  TurnEndList() { sentinel_.next_ = sentinel_.prev_ = &sentinel_; }
  TurnEndList(const TurnEndList&) = delete;
  TurnEndList& operator=(const TurnEndList&) = delete;
  ~TurnEndList() {
    while (!empty()) sentinel_.next_->Unlink();
    sentinel_.next_ = sentinel_.prev_ = nullptr;
  }

  bool empty() const { return sentinel_.next_ == &sentinel_; }
  void Add(TurnEndTask* task) {
    if (task->linked()) return;
    task->prev_ = sentinel_.prev_;
    task->next_ = &sentinel_;
    sentinel_.prev_->next_ = task;
    sentinel_.prev_ = task;
  }
  // Runs tasks, also those added meanwhile, but no more than `runs_max`: what then is left waits
  // for the next turn, so that tasks which add each other can't starve the descriptors.
  void Run(int runs_max = 4096) {
    while (!empty() && runs_max-- > 0) {
      TurnEndTask* task = sentinel_.next_;
      task->Unlink();
      task->RunAtTurnEnd();
    }
  }

 private:
  struct Sentinel final : TurnEndTask {
    void RunAtTurnEnd() override {}
  };
  Sentinel sentinel_;
};

}  // namespace meltemi
