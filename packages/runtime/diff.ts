/** Line diff by longest common subsequence. Pure. */

/**
 * Returns the lines only in `before` prefixed with "- " and those only in `after` prefixed with "+ ", or "no difference".
 * Common lines are omitted. Takes O(n*m) time and memory, so it suits a few hundred lines.
 */
export function diffLines(before: readonly string[], after: readonly string[]): string {
  const width = after.length + 1;
  // common[i * width + j]: length of the longest common subsequence of before[i..] and after[j..].
  const common = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i--)
    for (let j = after.length - 1; j >= 0; j--)
      common[i * width + j] =
        before[i] === after[j]
          ? common[(i + 1) * width + j + 1]! + 1
          : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
  const out: string[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      i++;
      j++;
    } else if (
      j >= after.length ||
      (i < before.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!)
    ) {
      out.push(`- ${before[i++]}`);
    } else out.push(`+ ${after[j++]}`);
  }
  return out.length === 0 ? "no difference\n" : `${out.join("\n")}\n`;
}
