// Columns of text, as wide as their widest cell.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace meltemi::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  // Sorts all rows but the header by their cells.
  void Sort();
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace meltemi::cli
