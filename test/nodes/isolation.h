// Network, process and mount namespaces of its own for a program that brings clusters up: so it is
// in nobody's way, and when it dies, however it dies, every process, mount, interface and rule goes
// with it.
//
// At the beginning of main.
#pragma once

namespace meltemi::nodes {

// Executes this program again inside of the namespaces, with one network card behind which there is
// nobody; inside, and for who is not root, it returns at once. False: the network cannot be set up.
bool Isolate(char** argv);

}  // namespace meltemi::nodes
