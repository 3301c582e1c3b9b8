// The handler threads, and gzip.

#include <zlib.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "orchestrator/apiserver/http/gzip.h"
#include "orchestrator/apiserver/http/handler_pool.h"

namespace meltemi::apiserver {
namespace {

// Counts arrivals, and holds them until it is opened.
class Barrier {
 public:
  void Arrive() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait_for(lock, seconds(10), [this] { return open_; });
  }
  bool WaitFor(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return arrived_ >= count; });
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

TEST(HandlerPoolTest, GrowsUpToItsBound) {
  Barrier barrier;
  HandlerPool pool(3, seconds(60));
  EXPECT_EQ(pool.threads(), 0u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.Run([&] { barrier.Arrive(); }));
  ASSERT_TRUE(barrier.WaitFor(3));
  EXPECT_EQ(pool.threads(), 3u);
  EXPECT_FALSE(pool.Run([] {}));
  barrier.Open();
}

TEST(HandlerPoolTest, ThreadsAreUsedAgain) {
  HandlerPool pool(100, seconds(60));
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::atomic<int> done{0};
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(pool.Run([&] {
      const std::lock_guard<std::mutex> lock(mutex);
      ids.insert(std::this_thread::get_id());
      ++done;
    }));
    while (done <= i) std::this_thread::yield();
  }
  // One is just coming back when the next work comes, at times.
  EXPECT_LE(ids.size(), 20u);
}

TEST(HandlerPoolTest, IdleThreadsEnd) {
  HandlerPool pool(4, milliseconds(5));
  Barrier barrier;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pool.Run([&] { barrier.Arrive(); }));
  ASSERT_TRUE(barrier.WaitFor(4));
  barrier.Open();
  while (pool.threads() > 0) std::this_thread::yield();
  // And come back.
  std::atomic<bool> ran{false};
  EXPECT_TRUE(pool.Run([&] { ran = true; }));
  while (!ran) std::this_thread::yield();
}

TEST(HandlerPoolTest, WhatIsQueuedRunsBeforeTheEnd) {
  std::atomic<int> ran{0};
  {
    HandlerPool pool(50, seconds(60));
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(pool.Run([&] { ++ran; }));
  }
  EXPECT_EQ(ran, 50);
}

std::string Unpack(const std::string& packed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string in = packed, out(20 * 1000 * 1000, 0);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST(GzipTest, ComesBackAsItWas) {
  for (const size_t size : {0u, 1u, 1000u, 65536u, 65537u, 3000000u}) {
    std::string text(size, 0);
    uint32_t state = 1;
    for (char& c : text) c = static_cast<char>('a' + ((state = state * 1664525 + 1) >> 30));
    const std::string packed = Gzip(text);
    EXPECT_TRUE(Unpack(packed) == text) << size;
  }
}

TEST(GzipTest, IsUsedWhereItIsWanted) {
  EXPECT_TRUE(AcceptsGzip("gzip"));
  EXPECT_TRUE(AcceptsGzip("deflate, GZIP;q=0.5"));
  EXPECT_TRUE(AcceptsGzip("*"));
  EXPECT_FALSE(AcceptsGzip(""));
  EXPECT_FALSE(AcceptsGzip("identity"));
  EXPECT_FALSE(AcceptsGzip("gzip;q=0"));
  EXPECT_FALSE(AcceptsGzip("*, gzip; q=0.0"));
  EXPECT_FALSE(AcceptsGzip("*;q=0"));
  EXPECT_FALSE(AcceptsGzip("gzipped"));
}

}  // namespace
}  // namespace meltemi::apiserver
