#include "proxy/connection/client_cert.h"

#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

TlsInfo Client() {
  TlsInfo info;
  info.peer_presented = info.peer_verified = true;
  info.peer_sha256 = "ab12";
  info.peer_subject = "O=\"Shop\",CN=cart";
  info.peer_uri_sans = {"spiffe://cluster.local/ns/shop/sa/cart"};
  info.peer_dns_sans = {"cart.shop", "cart.shop.svc"};
  info.local_uri_sans = {"spiffe://cluster.local/ns/shop/sa/catalog"};
  return info;
}

TEST(ClientCertTest, SaysWhoTheClientIsAndToWhom) {
  HttpConfig config;
  config.forward_client_cert = ForwardClientCert::kAppendForward;
  config.client_cert_subject = config.client_cert_uri = config.client_cert_dns = true;
  EXPECT_EQ(ClientCertText(config, Client(), "", ""),
            "By=spiffe://cluster.local/ns/shop/sa/catalog;Hash=ab12;"
            "Subject=\"O=\\\"Shop\\\",CN=cart\";URI=spiffe://cluster.local/ns/shop/sa/cart;"
            "DNS=cart.shop;DNS=cart.shop.svc");
}

TEST(ClientCertTest, CarriesTheCertificateUrlEncoded) {
  HttpConfig config;
  config.forward_client_cert = ForwardClientCert::kSanitizeSet;
  config.client_cert_pem = true;
  config.client_cert_chain = true;
  EXPECT_EQ(ClientCertText(config, Client(), "-----BEGIN A-----\na+/=\n", "x\n"),
            "By=spiffe://cluster.local/ns/shop/sa/catalog;Hash=ab12;"
            "Cert=\"-----BEGIN%20A-----%0Aa%2B%2F%3D%0A\";Chain=\"x%0A\"");
}

TEST(ClientCertTest, SaysNothingWithoutACertificateOrWhenItIsNotToSpeak) {
  HttpConfig config;
  EXPECT_EQ(ClientCertText(config, Client(), "", ""), "");
  config.forward_client_cert = ForwardClientCert::kForwardOnly;
  EXPECT_EQ(ClientCertText(config, Client(), "", ""), "");
  config.forward_client_cert = ForwardClientCert::kSanitizeSet;
  EXPECT_EQ(ClientCertText(config, TlsInfo(), "", ""), "");
}

TEST(ClientCertTest, ANameCannotPretendToBeAnotherField) {
  HttpConfig config;
  config.forward_client_cert = ForwardClientCert::kSanitizeSet;
  config.client_cert_uri = config.client_cert_dns = true;
  TlsInfo client = Client();
  client.peer_uri_sans = {"spiffe://a;By=spiffe://cluster.local/ns/admin/sa/root"};
  client.peer_dns_sans = {"a,By=x", "good.example", "b\r\nx: y"};
  EXPECT_EQ(ClientCertText(config, client, "", ""),
            "By=spiffe://cluster.local/ns/shop/sa/catalog;Hash=ab12;DNS=good.example");
}

}  // namespace
}  // namespace meltemi::proxy
