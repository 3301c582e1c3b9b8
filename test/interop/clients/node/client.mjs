// A story of @kubernetes/client-node against an API server:
//
//   node client.mjs KUBECONFIG FOLDER
//
// Create, list, update, patch, conflict, watch, informer, delete; "restart" is printed, and the story
// goes on when there is a file FOLDER/restarted: the informer finds the server again. Exit 1: the last
// line tells what was not as with Kubernetes.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import * as k8s from '@kubernetes/client-node';

const PATIENCE_MS = 60_000;
const [kubeconfig, folder] = process.argv.slice(2);
const namespace = 'node';

const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

// Waits until `done` is true of what happens elsewhere.
async function until(done, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!done()) {
    assert.ok(Date.now() < end, `${what} does not happen`);
    await pause(20);
  }
}

async function codeOf(promise) {
  try {
    await promise;
    return 200;
  } catch (error) {
    return error.code;
  }
}

const configMap = (name, v) => ({ metadata: { name }, data: { v } });

async function typedStory() {
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap('a', '1') });
  assert.ok(made.metadata.uid);
  assert.equal(await codeOf(core.createNamespacedConfigMap({ namespace, body: configMap('a', '1') })), 409);
  const changed = await core.replaceNamespacedConfigMap({
    name: 'a', namespace, body: { ...made, data: { v: '2' } },
  });
  assert.notEqual(changed.metadata.resourceVersion, made.metadata.resourceVersion);
  assert.equal(await codeOf(core.replaceNamespacedConfigMap({
    name: 'a', namespace, body: { ...made, data: { v: '3' } },
  })), 409);
  assert.equal(await codeOf(core.readNamespacedConfigMap({ name: 'none', namespace })), 404);
  const patched = await core.patchNamespacedConfigMap({
    name: 'a', namespace, body: [{ op: 'replace', path: '/data/v', value: '4' }],
  });
  assert.equal(patched.data.v, '4');
  const list = await core.listNamespacedConfigMap({ namespace, fieldSelector: 'metadata.name=a' });
  assert.equal(list.items.length, 1);

  const labels = { app: 'web' };
  const deployment = await apps.createNamespacedDeployment({
    namespace,
    body: {
      metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'nginx:1' }] } },
      },
    },
  });
  assert.equal(deployment.spec.replicas, 1);
  assert.ok(deployment.metadata.creationTimestamp instanceof Date);
}

async function watchStory() {
  const events = [];
  const watch = new k8s.Watch(config);
  const request = await watch.watch(`/api/v1/namespaces/${namespace}/configmaps`,
    { labelSelector: 'watched' },
    (type, object) => events.push(`${type} ${object.metadata.name} ${object.data?.v}`), () => {});
  const body = configMap('w', '1');
  body.metadata.labels = { watched: 'yes' };
  await core.createNamespacedConfigMap({ namespace, body });
  for (const v of ['2', '3']) {
    await core.replaceNamespacedConfigMap({ name: 'w', namespace, body: { ...body, data: { v } } });
  }
  await core.deleteNamespacedConfigMap({ name: 'w', namespace });
  await until(() => events.length >= 4, 'the watch of four events');
  assert.deepEqual(events, ['ADDED w 1', 'MODIFIED w 2', 'MODIFIED w 3', 'DELETED w 3']);
  request.abort();
}

async function informerStory() {
  const events = [];
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`,
    () => core.listNamespacedConfigMap({ namespace }));
  for (const kind of ['add', 'update', 'delete']) {
    informer.on(kind, (object) => events.push(`${kind} ${object.metadata.name}`));
  }
  informer.on('error', () => setTimeout(() => informer.start(), 100));
  await informer.start();
  await until(() => events.includes('add a'), 'the informer\'s first list');
  await core.createNamespacedConfigMap({ namespace, body: configMap('b', '1') });
  await until(() => events.includes('add b'), 'add b');
  console.log('restart');
  await until(() => existsSync(`${folder}/restarted`), 'the restart');
  await core.createNamespacedConfigMap({ namespace, body: configMap('c', '1') });
  await core.deleteNamespacedConfigMap({ name: 'b', namespace });
  await until(() => events.includes('add c') && events.includes('delete b'), 'news after the restart');
  await informer.stop();
}

try {
  await typedStory();
  await watchStory();
  await informerStory();
  console.log('done');
  process.exit(0);
} catch (error) {
  console.log('FAILED:', error);
  process.exit(1);
}
