// SHA-256 by the examples of FIPS 180-4.
#include "core/digest.hpp"

#include <gtest/gtest.h>

namespace billing {
namespace {

TEST(Digest, IsTheStandards) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Digest, HexKeepsLeadingZeros) {
  const unsigned char bytes[] = {0, 1, 0xab, 0xff};
  EXPECT_EQ(hex(bytes), "0001abff");
  EXPECT_EQ(hex({}), "");
}

}  // namespace
}  // namespace billing
