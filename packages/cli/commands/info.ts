/** berth info: facts about the daemon and its stores. */
import { release } from "node:os";
import { command } from "../command.ts";
import { stateOf } from "../container/state.ts";
import { text } from "../flags.ts";
import { parseTemplate } from "../format/template.ts";

export default command({
  usage: "",
  summary: "Show facts about the daemon",
  flags: { format: text("TEMPLATE", '"json" or a Go template', "f") },
  args: [0, 0],
  async run(context, flags) {
    const client = await context.client();
    const [version, server, containers, tasks, images, plugins] = await Promise.all([
      client.version(),
      client.server(),
      client.containers.list(),
      client.tasks.list(),
      client.images.list(),
      client.plugins(),
    ]);
    const states = tasks.map(stateOf);
    const count = (state: string) => states.filter((each) => each === state).length;
    const running = count("running");
    const paused = count("paused");
    const facts = {
      Address: client.address,
      Namespace: client.namespace,
      ServerVersion: version.version,
      ServerRevision: version.revision,
      ServerID: server.uuid,
      ServerPid: server.pid,
      Containers: containers.length,
      ContainersRunning: running,
      ContainersPaused: paused,
      ContainersStopped: containers.length - running - paused,
      Images: images.length,
      Snapshotter: client.snapshotter,
      Plugins: plugins.map((plugin) => `${plugin.type}.${plugin.id}`),
      KernelVersion: release(),
      Architecture: process.arch,
    };
    if (flags.format === "json") context.out(`${JSON.stringify(facts)}\n`);
    else if (flags.format !== undefined) context.out(`${parseTemplate(flags.format)(facts)}\n`);
    else
      for (const [key, value] of Object.entries(facts))
        context.out(
          `${key.replace(/([a-z])([A-Z])/g, "$1 $2")}: ${Array.isArray(value) ? value.join(" ") : value}\n`,
        );
    return 0;
  },
});
