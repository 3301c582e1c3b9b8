// The one statistical test that the traffic scenarios use.
#pragma once

namespace meltemi::scenarios {

// Two-sided exact binomial test: the probability of a count at least as unlikely as `hits` of
// `trials` when each hits with probability `share`.
double BinomialPValue(int hits, int trials, double share);

// Passes when the count is not so unlikely that it would be seen in fewer than one of 100,000 runs:
// a run of all tests asks a dozen times, and a wrong share is far less likely than that.
inline bool FitsShare(int hits, int trials, double share) {
  return BinomialPValue(hits, trials, share) > 0.00001;
}

}  // namespace meltemi::scenarios
