import assert from "node:assert/strict";
import test from "node:test";
import { loadConfig, parseConfig } from "./config.ts";

test("defaults follow the state directory", () => {
  const config = loadConfig(undefined, { state: "/tmp/s" });
  assert.equal(config.root, "/var/lib/berth");
  assert.equal(config.grpc.address, "/tmp/s/berth.sock");
  assert.equal(config.ttrpc.address, "/tmp/s/berth.sock.ttrpc");
  assert.equal(loadConfig(undefined, { address: "/x/s" }).ttrpc.address, "/x/s.ttrpc");
  assert.equal(config.log.level, "info");
});

test("a file is read", () => {
  const toml = 'root = "/r"\n[grpc]\naddress = "/a"\ngid = 5\n[registry]\ninsecure = ["h:5000"]\n';
  const settings = parseConfig(toml, "f");
  assert.equal(settings.get("grpc.gid"), 5);
  assert.deepEqual(settings.get("registry.insecure"), ["h:5000"]);
});

test("errors name the line", () => {
  assert.throws(() => parseConfig('root = "/r"\n\nrot = "/x"\n', "f.toml"), /f\.toml:3: unknown key "rot"/);
  assert.throws(
    () => parseConfig('[grpc]\n# c\nadress = "/x"\n', "f.toml"),
    /f\.toml:3: unknown key "grpc.adress"/,
  );
  assert.throws(() => parseConfig("[grcp]\na = 1\n", "f.toml"), /f\.toml:1: unknown key "grcp"/);
  assert.throws(
    () => parseConfig('[grpc]\nuid = "root"\n', "f.toml"),
    /f\.toml:2: grpc\.uid is "root", expected a whole/,
  );
  assert.throws(() => parseConfig('root = "relative"\n', "f.toml"), /f\.toml:1: root .* absolute path/);
  assert.throws(() => parseConfig("root = \n", "f.toml"), /f\.toml:1: /);
  assert.throws(() => loadConfig("/nonexistent.toml", {}), /ENOENT/);
  assert.throws(() => loadConfig(undefined, { logLevel: "loud" }), /--log-level is "loud"/);
});
