// Earliest deadline first: items in turn, each as often as its weight says and evenly spread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <vector>

namespace meltemi::proxy {

// Loop-owned. An item of weight w is due every 1/w; ties go to whoever waits longest.
class EdfSchedule {
 public:
  // `phase` in [0, 1): how far into its first period the item starts.
  void Add(size_t item, double weight, double phase) {
    queue_.push({(1 - phase) / weight, order_++, item});
  }
  bool empty() const { return queue_.empty(); }
  // The item that is due; `weight(item)` gives its current weight (> 0) for its next turn. Must not
  // be called when empty.
  template <typename Weight>
  size_t Next(Weight&& weight) {
    Due due = queue_.top();
    queue_.pop();
    now_ = due.at;
    queue_.push({now_ + 1 / weight(due.item), order_++, due.item});
    return due.item;
  }

 private:
  struct Due {
    double at;
    uint64_t order;
    size_t item;
    bool operator<(const Due& other) const {  // the queue's top is the greatest
      return at > other.at || (at == other.at && order > other.order);
    }
  };
  std::priority_queue<Due> queue_;
  double now_ = 0;
  uint64_t order_ = 0;
};

}  // namespace meltemi::proxy
