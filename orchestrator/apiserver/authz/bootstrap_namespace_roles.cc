#include "orchestrator/apiserver/authz/bootstrap_tables.h"

namespace meltemi::apiserver {

// Roles in kube-system and kube-public.
absl::string_view BootstrapNamespaceRoleTable() {
  return R"(kube-public/meltemi:cluster-info
  get core configmaps name=cluster-info
kube-public/system:controller:bootstrap-signer
  read core configmaps
  update core configmaps name=cluster-info
  create,patch,update core,events.k8s.io events
kube-system/extension-apiserver-authentication-reader
  read core configmaps name=extension-apiserver-authentication
kube-system/system::leader-locking-kube-controller-manager
  watch core configmaps
  get,update core configmaps name=kube-controller-manager
  create,get,list,update,watch coordination.k8s.io leases
  create,get,list,update,watch coordination.k8s.io leasecandidates
kube-system/system::leader-locking-kube-scheduler
  watch core configmaps
  get,update core configmaps name=kube-scheduler
  create,get,list,update,watch coordination.k8s.io leases
  create,get,list,update,watch coordination.k8s.io leasecandidates
kube-system/system:controller:bootstrap-signer
  read core secrets
kube-system/system:controller:cloud-provider
  create,get,list,watch core configmaps
kube-system/system:controller:token-cleaner
  delete,get,list,watch core secrets
  create,patch,update core,events.k8s.io events
)";
}

// Who gets them; a controller's role goes to the service account of its name besides.
absl::string_view BootstrapBindingTable() {
  return R"(cluster-admin group:system:masters
meltemi:bootstrap-nodes role=system:node-bootstrapper group:system:bootstrappers
meltemi:approve-new-nodes
      role=system:certificates.k8s.io:certificatesigningrequests:nodeclient
      group:system:bootstrappers
meltemi:approve-renewing-nodes
      role=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
      group:system:nodes
meltemi:node-network group:system:nodes
meltemi:node-volumes group:system:nodes
system:basic-user group:system:authenticated
system:discovery group:system:authenticated
system:kube-controller-manager user:system:kube-controller-manager
system:kube-dns account:kube-system/kube-dns
system:kube-scheduler user:system:kube-scheduler
system:monitoring group:system:monitoring
system:node
system:node-proxier user:system:kube-proxy
system:public-info-viewer group:system:authenticated group:system:unauthenticated
system:service-account-issuer-discovery group:system:serviceaccounts
system:volume-scheduler user:system:kube-scheduler
kube-public/meltemi:cluster-info group:system:unauthenticated group:system:authenticated
kube-public/system:controller:bootstrap-signer account:kube-system/bootstrap-signer
kube-system/system::extension-apiserver-authentication-reader
      role=extension-apiserver-authentication-reader user:system:kube-controller-manager
      user:system:kube-scheduler
kube-system/system::leader-locking-kube-controller-manager user:system:kube-controller-manager
      account:kube-system/kube-controller-manager account:kube-system/leader-election-controller
kube-system/system::leader-locking-kube-scheduler user:system:kube-scheduler
      account:kube-system/kube-scheduler
kube-system/system:controller:bootstrap-signer account:kube-system/bootstrap-signer
kube-system/system:controller:cloud-provider account:kube-system/cloud-provider
kube-system/system:controller:token-cleaner account:kube-system/token-cleaner
)";
}

}  // namespace meltemi::apiserver
