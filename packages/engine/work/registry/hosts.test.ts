import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { hostFolder, hostsOf } from "./hosts.ts";

/** A hosts folder with these files. */
function folderOf(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "berth-hosts-"));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const https = { plainHttp: false };

test("a registry's folder: with its port, in either spelling, or the default one", (t) => {
  const root = folderOf(t, { "a_5000_/x": "", "b:5000/x": "", "_default/x": "", "c/x": "" });
  const found = (name: string) => hostFolder(["/nonexistent", root], name)?.slice(root.length + 1);
  assert.deepEqual(["a:5000", "b:5000", "c", "c:1", "d"].map(found), [
    "a_5000_",
    "b:5000",
    "c",
    "_default",
    "_default",
  ]);
  assert.equal(hostFolder(["/nonexistent"], "a"), undefined);
});

test("without a folder, the registry itself", async () => {
  const base = async (name: string, defaults = https) => (await hostsOf([], name, defaults))[0]!.base;
  assert.equal(await base("docker.io"), "https://registry-1.docker.io/v2");
  assert.equal(await base("localhost:5000"), "http://localhost:5000/v2");
  assert.equal(await base("r.example", { plainHttp: true }), "http://r.example/v2");
});

test("hosts are tried in the file's order, the server last", async (t) => {
  const root = folderOf(t, {
    "r.example/hosts.toml": `
server = "https://r.example"
ca = "own.pem"
[host."https://two.example/us"]
  capabilities = ["pull", "referrers"]
  ca = ["/etc/two.pem", "rel.pem"]
  client = [["c.cert", "c.key"], ["both.pem", ""]]
  dial_timeout = "1.5s"
[host."http://one.example:81/api"]
  override_path = true
  skip_verify = true
  [host."http://one.example:81/api".header]
    X-Key = "k"
    x-list = ["a", "b"]
`,
  });
  const at = (file: string) => join(root, "r.example", file);
  const all = ["pull", "resolve", "push"];
  const hosts = await hostsOf([root], "r.example", https);
  assert.deepEqual(
    hosts.map(({ capabilities, ...host }) => ({ ...host, capabilities: [...capabilities] })),
    [
      {
        base: "https://two.example/us/v2",
        mirror: true,
        headers: {},
        dialTimeout: 1500,
        capabilities: ["pull"],
        tls: {
          ca: ["/etc/two.pem", at("rel.pem")],
          client: [
            { cert: at("c.cert"), key: at("c.key") },
            { cert: at("both.pem"), key: "" },
          ],
          skipVerify: false,
        },
      },
      {
        base: "http://one.example:81/api",
        mirror: true,
        headers: { "x-key": "k", "x-list": ["a", "b"] },
        capabilities: all,
        tls: { ca: [], client: [], skipVerify: true },
      },
      {
        base: "https://r.example/v2",
        mirror: false,
        headers: {},
        capabilities: all,
        tls: { ca: [at("own.pem")], client: [], skipVerify: false },
      },
    ],
  );
});

test("without a server, the registry itself is the last one; Docker's layout names its certificates", async (t) => {
  const root = folderOf(t, {
    "_default/hosts.toml": '[host."mirror.example"]\n',
    "d_5000_/ca.crt": "",
    "d_5000_/me.cert": "",
    "d_5000_/me.key": "",
    "empty/x": "",
  });
  const hosts = await hostsOf([root], "docker.io", https);
  assert.deepEqual(
    hosts.map(({ base, mirror }) => [base, mirror]),
    [
      ["https://mirror.example/v2", true],
      ["https://registry-1.docker.io/v2", false],
    ],
  );
  const at = (file: string) => join(root, "d_5000_", file);
  const [docker] = await hostsOf([root], "d:5000", https);
  assert.deepEqual(docker!.tls, {
    ca: [at("ca.crt")],
    client: [{ cert: at("me.cert"), key: at("me.key") }],
    skipVerify: false,
  });
  assert.equal((await hostsOf([root], "empty", https))[0]!.tls, undefined);
});

test("errors name file, line, column, what was found and what is expected", async (t) => {
  const cases: [string, RegExp][] = [
    ["server = \n", /hosts.toml:1:10: /],
    ["server = 5\n", /hosts.toml:1:1: server is 5, expected a text/],
    ['[host."https://m"]\n  ca = 1\n', /hosts.toml:2:3: host."https:\/\/m".ca is 1, expected a path, or/],
    ['[host."https://a b"]\n', /expected an address such as/],
    ['capabilities = ["pul"]\n', /capabilities is \["pul"\], expected a list of pull, resolve, push/],
    ['client = [["a"]]\n', /client is \[\["a"\]\], expected a path, a list of paths, or a list of pairs/],
    ['dial_timeout = "soon"\n', /dial_timeout is "soon", expected a duration/],
    ['skip_verify = "no"\n', /skip_verify is "no", expected true or false/],
    ["[header]\nx = 1\n", /hosts.toml:2:1: header.x is 1, expected a text/],
  ];
  for (const [toml, why] of cases) {
    const root = folderOf(t, { "r/hosts.toml": toml });
    await assert.rejects(hostsOf([root], "r", https), why, toml);
  }
});
