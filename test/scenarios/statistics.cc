#include "test/scenarios/statistics.h"

#include <algorithm>
#include <cmath>

namespace meltemi::scenarios {
namespace {

double LogProbability(int hits, int trials, double share) {
  if (share <= 0) return hits == 0 ? 0 : -HUGE_VAL;
  if (share >= 1) return hits == trials ? 0 : -HUGE_VAL;
  return std::lgamma(trials + 1) - std::lgamma(hits + 1) - std::lgamma(trials - hits + 1) +
         hits * std::log(share) + (trials - hits) * std::log1p(-share);
}

}  // namespace

double BinomialPValue(int hits, int trials, double share) {
  const double observed = LogProbability(hits, trials, share);
  double total = 0;
  for (int i = 0; i <= trials; ++i) {
    const double one = LogProbability(i, trials, share);
    // A little slack, so that outcomes which are equally likely on paper count as such.
    if (one <= observed + 1e-7) total += std::exp(one);
  }
  return std::min(total, 1.0);
}

}  // namespace meltemi::scenarios
