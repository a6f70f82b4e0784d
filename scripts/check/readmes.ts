/** Writes the TypeScript examples of all READMEs into build/readmes, a project for tsc: what is shown compiles. */
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const FOLDER = "build/readmes";

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
for (const path of ["README.md", ...globSync("packages/*/README.md")]) {
  const blocks = [...readFileSync(path, "utf8").matchAll(/^```ts\n(.*?)^```$/gms)];
  for (const [n, [, text]] of blocks.entries())
    writeFileSync(
      `${FOLDER}/${path.replaceAll("/", "-").replace(/\.md$/, "")}-${n}.ts`,
      `${text}\nexport {};\n`,
    );
}
writeFileSync(`${FOLDER}/package.json`, '{ "type": "module" }\n');
writeFileSync(
  `${FOLDER}/tsconfig.json`,
  JSON.stringify({
    extends: "../../tsconfig.json",
    compilerOptions: { noUnusedLocals: false },
    include: ["*.ts"],
  }),
);
