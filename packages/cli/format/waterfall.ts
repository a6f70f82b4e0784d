/** Draws an operation's timed stages: a line each, with a bar at its place in time. */
import type { Operation, OperationStage } from "@berth/client";

const LABEL_WIDTH = 44;

/** The lines for one operation, `width` characters wide. */
export function drawOperation(operation: Operation, width = 100): string[] {
  const total = Math.max(operation.elapsedMs, 0.001);
  const barWidth = Math.max(10, width - LABEL_WIDTH - 12);
  const lines: string[] = [];
  const draw = (stage: OperationStage, depth: number) => {
    const label = `${"  ".repeat(depth)}${stage.name}`;
    const from = Math.min(barWidth - 1, Math.floor((stage.offsetMs / total) * barWidth));
    const length = Math.max(1, Math.round((stage.elapsedMs / total) * barWidth));
    const mark = stage.error !== "" ? "!" : stage.inFlight ? "~" : "█";
    const bar = " ".repeat(from) + mark.repeat(Math.min(length, barWidth - from));
    const time = `${stage.elapsedMs.toFixed(stage.elapsedMs < 100 ? 2 : 0)} ms`;
    lines.push(`${label.slice(0, LABEL_WIDTH).padEnd(LABEL_WIDTH)}${time.padStart(11)} ${bar}`);
    if (stage.error !== "") lines.push(`${"  ".repeat(depth + 1)}error: ${stage.error}`);
    for (const inner of stage.stages) draw(inner, depth + 1);
  };
  draw(operation.root, 0);
  return lines;
}
