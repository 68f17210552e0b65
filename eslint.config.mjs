import js from "@eslint/js";
import globals from "globals";

// The files share one scope, so tsc, which sees them all, finds what is not defined.
export default [
  js.configs.recommended,
  {
    files: ["bench/report/script/*.js"],
    languageOptions: { sourceType: "script", ecmaVersion: 2022, globals: globals.browser },
    rules: {
      "no-undef": "off",
      "no-unused-vars": ["error", { vars: "local" }],
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "max-len": ["error", { code: 160 }],
    },
  },
];
