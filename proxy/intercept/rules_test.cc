#include "proxy/intercept/rules.h"

#include <gtest/gtest.h>

#include "proxy/intercept/intercept.h"

namespace meltemi::proxy {
namespace {

std::string Error(const InterceptOptions& options) {
  return std::string(CheckInterceptOptions(options).message());
}

TEST(InterceptRulesTest, TheDefaultsInFull) {
  EXPECT_EQ(ApplyScript({}, IpFamily::kV4, ""),
            "*nat\n"
            ":ISTIO_INBOUND - [0:0]\n"
            ":ISTIO_IN_REDIRECT - [0:0]\n"
            ":ISTIO_OUTPUT - [0:0]\n"
            ":ISTIO_REDIRECT - [0:0]\n"
            "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n"
            "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n"
            "-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN\n"
            "-A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN\n"
            "-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN\n"
            "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n"
            "-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN\n"
            "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp -m owner --uid-owner 1337 "
            "-j ISTIO_IN_REDIRECT\n"
            "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n"
            "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp -m owner --gid-owner 1337 "
            "-j ISTIO_IN_REDIRECT\n"
            "-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN\n"
            "-A ISTIO_OUTPUT -o lo -j RETURN\n"
            "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n"
            "-A ISTIO_OUTPUT -p tcp -j ISTIO_REDIRECT\n"
            "-A PREROUTING -p tcp -j ISTIO_INBOUND\n"
            "-A OUTPUT -p tcp -j ISTIO_OUTPUT\n"
            "COMMIT\n");
}

TEST(InterceptRulesTest, WhatAnEarlierRunLeftIsReplaced) {
  const std::string saved =
      "*nat\n:PREROUTING ACCEPT [0:0]\n:ISTIO_INBOUND - [0:0]\n:KUBE-SERVICES - [0:0]\n"
      "-A PREROUTING -m comment --comment other -j KUBE-SERVICES\n"
      "-A PREROUTING -p tcp -j ISTIO_INBOUND\n"
      "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\nCOMMIT\n";
  const std::string script = ApplyScript({}, IpFamily::kV4, saved);
  EXPECT_NE(script.find("-D PREROUTING -p tcp -j ISTIO_INBOUND\n"), std::string::npos);
  EXPECT_EQ(script.find("KUBE"), std::string::npos);
  EXPECT_EQ(RemoveScript(saved),
            "*nat\n-D PREROUTING -p tcp -j ISTIO_INBOUND\n-F ISTIO_INBOUND\n-X ISTIO_INBOUND\n"
            "COMMIT\n");
  EXPECT_EQ(RemoveScript("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), "");
}

TEST(InterceptRulesTest, ListsOfPortsAndRangesByFamily) {
  InterceptOptions options;
  options.include_inbound_ports = "80,8080,15021";
  options.exclude_inbound_ports = "8080";
  options.include_outbound_ips = "10.0.0.0/8, fd00::/8";
  options.exclude_outbound_ips = "10.9.0.0/16,fd00:9::/32";
  options.exclude_outbound_ports = "3306";
  options.include_outbound_ports = "9999";
  const std::string v4 = ApplyScript(options, IpFamily::kV4, "");
  EXPECT_NE(v4.find("-A ISTIO_INBOUND -p tcp --dport 80 -j ISTIO_IN_REDIRECT\n"),
            std::string::npos);
  EXPECT_EQ(v4.find("--dport 8080"), std::string::npos);
  EXPECT_EQ(v4.find("--dport 15021"), std::string::npos);
  EXPECT_EQ(v4.find("-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT"), std::string::npos);
  EXPECT_NE(v4.find("-d 10.9.0.0/16 -j RETURN\n"
                    "-A ISTIO_OUTPUT -p tcp --dport 9999 -j ISTIO_REDIRECT\n"
                    "-A ISTIO_OUTPUT -d 10.0.0.0/8 -p tcp -j ISTIO_REDIRECT\n"),
            std::string::npos);
  EXPECT_NE(v4.find("-A ISTIO_OUTPUT -p tcp --dport 3306 -j RETURN\n"), std::string::npos);
  EXPECT_EQ(v4.find("fd00"), std::string::npos);
  const std::string v6 = ApplyScript(options, IpFamily::kV6, "");
  EXPECT_NE(v6.find("-A ISTIO_OUTPUT -d fd00::/8 -p tcp -j ISTIO_REDIRECT\n"), std::string::npos);
  EXPECT_NE(v6.find("-s ::6/128"), std::string::npos);
  EXPECT_EQ(v6.find("10."), std::string::npos);
}

TEST(InterceptRulesTest, NothingIncludedIsNothingRedirected) {
  InterceptOptions options;
  options.include_inbound_ports = "";
  options.include_outbound_ips = "";
  const std::string script = ApplyScript(options, IpFamily::kV4, "");
  EXPECT_EQ(script.find("-p tcp -j ISTIO_REDIRECT"), std::string::npos);
  EXPECT_EQ(script.find("ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT"), std::string::npos);
}

TEST(InterceptRulesTest, GuestsBehindAnInterfaceAreOutboundTraffic) {
  InterceptOptions options;
  options.kube_virt_interfaces = "net1";
  options.exclude_interfaces = "eth9";
  options.drop_invalid = true;
  const std::string script = ApplyScript(options, IpFamily::kV4, "");
  EXPECT_NE(script.find("-A ISTIO_INBOUND -i eth9 -j RETURN\n"
                        "-A ISTIO_INBOUND -i net1 -p tcp -j ISTIO_REDIRECT\n"
                        "-A ISTIO_INBOUND -i net1 -j RETURN\n"),
            std::string::npos);
  EXPECT_NE(script.find("-A ISTIO_OUTPUT -o eth9 -j RETURN\n"), std::string::npos);
  EXPECT_NE(script.find("-A PREROUTING -m conntrack --ctstate INVALID -j ISTIO_DROP\n"),
            std::string::npos);
}

TEST(InterceptRulesTest, ErrorsNameTheOptionAndTheEntry) {
  EXPECT_EQ(Error({}), "");
  EXPECT_EQ(Error({.include_inbound_ports = "80,http"}),
            "--include-inbound-ports: 'http' is no port from 1 to 65535 and not the only entry "
            "\"*\"");
  EXPECT_EQ(Error({.exclude_outbound_ports = "0"}),
            "--exclude-outbound-ports: '0' is no port from 1 to 65535");
  EXPECT_EQ(Error({.include_outbound_ips = "10.0.0.0/99"}),
            "--include-outbound-ips: '10.0.0.0/99' is no IP range such as 10.0.0.0/8");
  EXPECT_NE(Error({.proxy_uids = ""}), "");
  EXPECT_NE(Error({.proxy_uids = "root"}), "");
  EXPECT_NE(Error({.kube_virt_interfaces = "eth0 -j ACCEPT"}), "");
  EXPECT_NE(Error({.proxy_port = 15006}), "");
}

TEST(InterceptCommandTest, IstiosNamesOfTheOptionsAreUnderstood) {
  std::string help;
  absl::StatusOr<InterceptCommand> command = ParseInterceptCommand(
      {"apply", "-p", "15101",      "-z", "15106",       "-u", "1338", "-b", "80",  "-d",
       "22",    "-i", "10.0.0.0/8", "-x", "10.1.0.0/16", "-o", "3306", "-q", "443", "--dry-run"},
      &help);
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(command->options.proxy_port, 15101u);
  EXPECT_EQ(command->options.inbound_port, 15106u);
  EXPECT_EQ(command->options.proxy_uids, "1338");
  EXPECT_EQ(command->options.include_inbound_ports, "80");
  EXPECT_EQ(command->options.exclude_inbound_ports, "22");
  EXPECT_EQ(command->options.include_outbound_ips, "10.0.0.0/8");
  EXPECT_EQ(command->options.exclude_outbound_ips, "10.1.0.0/16");
  EXPECT_EQ(command->options.exclude_outbound_ports, "3306");
  EXPECT_EQ(command->options.include_outbound_ports, "443");
  EXPECT_TRUE(command->dry_run);
}

TEST(InterceptCommandTest, OneVerbIsNeeded) {
  std::string help;
  EXPECT_FALSE(ParseInterceptCommand({}, &help).ok());
  EXPECT_FALSE(ParseInterceptCommand({"apply", "remove"}, &help).ok());
  EXPECT_TRUE(ParseInterceptCommand({"--help"}, &help).ok());
  EXPECT_NE(help.find("--exclude-outbound-ips"), std::string::npos);
}

TEST(InterceptCommandTest, AMissingProgramAndAMissingPrivilegeSayWhatToDo) {
  const InterceptCommand command{.ipv6 = InterceptIpv6::kOff};
  auto missing = RunIntercept(command, [](const auto&, const auto&) {
    return absl::StatusOr<ProcessResult>(absl::NotFoundError("no such file"));
  });
  EXPECT_EQ(missing.status().message(),
            "iptables-save was not found; install it with: apt-get install iptables");
  auto refused = RunIntercept(command, [](const auto&, const auto&) {
    return absl::StatusOr<ProcessResult>(
        ProcessResult{4, "",
                      "iptables v1.8: Could not fetch rule set: Permission denied (you must "
                      "be root)\n"});
  });
  EXPECT_NE(refused.status().message().find("sudo meltemi-proxy intercept"),
            absl::string_view::npos);
}

TEST(InterceptCommandTest, ADryRunChangesNothing) {
  InterceptCommand command{.ipv6 = InterceptIpv6::kOff, .dry_run = true};
  int changes = 0;
  auto output = RunIntercept(command, [&](const auto& argv, const auto&) {
    changes += argv[0] == "iptables-restore";
    return absl::StatusOr<ProcessResult>(ProcessResult{});
  });
  ASSERT_TRUE(output.ok());
  EXPECT_NE(output->find("-A OUTPUT -p tcp -j ISTIO_OUTPUT"), std::string::npos);
  EXPECT_EQ(changes, 0);
}

}  // namespace
}  // namespace meltemi::proxy
