// Command client plays a story of client-go against an API server:
//
//	client STORY KUBECONFIG FOLDER
//
// typed: a typed client creates, changes and deletes. informer: a shared informer sees everything
// once and in order, also when the server is restarted ("restart" is printed, and the story goes on
// when there is a file FOLDER/restarted). election: two candidates for one Lease. expired: a watch of
// a version that is compacted, and an informer that has to list anew ("compact REVISION" is printed,
// and the story goes on when there is a file FOLDER/compacted).
//
// Exit 0: all was as with Kubernetes. Exit 1: the last line tells what was not.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience bounds every wait for an effect.
const patience = 60 * time.Second

// ask prints what the test around us shall do and waits until the file that tells it is done is there.
func ask(what, done string) error {
	fmt.Println(what)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(os.Args[3], done)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("nobody did: %s", what)
}

func main() {
	stories := map[string]func(kubernetes.Interface, *rest.Config) error{
		"typed":    typed,
		"informer": informer,
		"election": election,
		"expired":  expired,
	}
	if len(os.Args) != 4 || stories[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: client typed|informer|election|expired KUBECONFIG FOLDER")
		os.Exit(2)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[2])
	if err == nil {
		config.QPS, config.Burst = 200, 400
		var client *kubernetes.Clientset
		if client, err = kubernetes.NewForConfig(config); err == nil {
			err = stories[os.Args[1]](client, config)
		}
	}
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
	fmt.Println("done")
}
