// Preprocessed by build.rs, to find out whether Boost.Interprocess is here and which.
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/version.hpp>
slipring_peers_boost_version BOOST_LIB_VERSION
