'use strict';

// Makes docs/api.md of index.d.ts and its comments. Whatever of it callers can reach must have a comment.

const fs = require('node:fs');
const path = require('node:path');

const { REPOSITORY } = require('./steps');

const DECLARATIONS = 'index.d.ts';
const REFERENCE = 'docs/api.md';
const ERRORS = 'errors.md';
const NO_PLACE = 'this has no place in the reference';

/**
 * @typedef {typeof import('typescript/unstable/ast')} Syntax
 * @typedef {import('typescript/unstable/ast').Node} Node
 * @typedef {import('typescript/unstable/ast').SourceFile} SourceFile
 * @typedef {import('typescript/unstable/ast').ClassDeclaration} ClassDeclaration
 * @typedef {import('typescript/unstable/ast').InterfaceDeclaration} InterfaceDeclaration
 */

const HEAD = `<!-- Made from ${DECLARATIONS} by scripts/api-reference.js: change the comments there, then run it. -->

# API reference

What \`require('vvault-native')\` and \`import\` give (all together also as the default), from the comments in
\`${DECLARATIONS}\`, which editors show too. [README.md](../README.md) shows how it is used, [${ERRORS}](${ERRORS}) what to do
about each error; those that every call of a vault may have are named at [Vault](#vault).`;

/** @param {string} heading */
const anchorOf = (heading) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

/** @param {string} heading @param {string} [label] */
const link = (heading, label = heading) => `[\`${label}\`](#${anchorOf(heading)})`;

/** @param {string} text */
const inOneLine = (text) => text.replace(/\s+/g, ' ').trim();

/** The section of docs/errors.md that explains each code. */
function sectionsOfCodes() {
  const sections = new Map();
  let section = '';
  for (const line of fs.readFileSync(path.join(REPOSITORY, 'docs', ERRORS), 'utf8').split('\n')) {
    section = /^## (.+)/.exec(line)?.[1] ?? section;
    const code = /^\| `(VVAULT_[A-Z_]+)` \|/.exec(line)?.[1];
    if (code !== undefined) sections.set(code, anchorOf(section));
  }
  return sections;
}

/**
 * @param {SourceFile} source
 * @param {Syntax} syntax
 * @returns {{ page: string, problems: string[] }} The reference, and what lacks a comment.
 */
function referenceOf(source, syntax) {
  const sections = sectionsOfCodes();
  /** @type {string[]} */
  const problems = [];
  /** @param {Node} node @param {string} problem */
  const tell = (node, problem) => {
    const line = source.text.slice(0, node.getStart(source)).split('\n').length;
    problems.push(`${DECLARATIONS}:${line}: ${problem}`);
  };
  /** @param {Node} node */
  const textOf = (node) => node.getText(source);

  const typeNames = source.statements.flatMap((statement) =>
    syntax.isInterfaceDeclaration(statement) ||
    syntax.isClassDeclaration(statement) ||
    syntax.isTypeAliasDeclaration(statement)
      ? [statement.name?.text ?? '']
      : [],
  );
  const anyType = new RegExp(`\\b(${typeNames.join('|')})\\b`);

  /** A type as code, with links to those that are explained here. @param {string} text */
  const typeOf = (text) =>
    inOneLine(text)
      .split(anyType)
      .map((piece, index) => (index % 2 === 1 ? link(piece) : piece && `\`${piece}\``))
      .join('');

  /** @param {string} text */
  const withLinks = (text) =>
    text
      .replace(/\{@link (\w+)([\w.]*)\}/g, (_, name, member) => link(name, name + member))
      .replace(/`(VVAULT_[A-Z_]+)`/g, (code, name) =>
        sections.has(name) ? `[${code}](${ERRORS}#${sections.get(name)})` : code,
      );

  /**
   * @param {Node} node
   * @param {string} name
   * @returns {{ text: string, tags: string[] }} The tags are items of a list.
   */
  function commentOf(node, name) {
    const comment = node.jsDoc?.at(-1);
    /** @type {string[]} */
    const tags = [];
    let text = '';
    if (comment !== undefined && syntax.isJSDoc(comment)) {
      text = withLinks(syntax.getTextOfJSDocComment(comment.comment) ?? '').trim();
      /** @type {string[]} */
      const parameters = [];
      node.forEachChild((child) => {
        if (syntax.isParameterDeclaration(child)) parameters.push(textOf(child.name));
      });
      for (const tag of comment.tags ?? []) {
        const told = withLinks(inOneLine(syntax.getTextOfJSDocComment(tag.comment) ?? ''));
        if (syntax.isJSDocParameterTag(tag)) {
          tags.push(`- **\`${textOf(tag.name)}\`**: ${told}`);
          if (!parameters.includes(textOf(tag.name))) tell(node, `${name} has no parameter ${textOf(tag.name)}`);
        } else if (syntax.isJSDocReturnTag(tag)) tags.push(`- **Returns**: ${told}`);
        else if (syntax.isJSDocThrowsTag(tag)) tags.push(`- **Throws**: ${told}`);
        else tell(tag, `the reference has no place for @${tag.tagName.text}`);
      }
    }
    // A constructor's class says what it makes, and a type of one value says all.
    const isPlain =
      syntax.isConstructorDeclaration(node) ||
      (syntax.isPropertySignatureDeclaration(node) && node.type !== undefined && syntax.isLiteralTypeNode(node.type));
    if (text === '' && !isPlain) tell(node, `${name} has no comment`);
    return { text, tags };
  }

  /** Members of a type that is written where it is used are explained by name, in the comment there. */
  function checkInline(/** @type {Node} */ type, /** @type {Node} */ owner, /** @type {string} */ name) {
    const comment = owner.jsDoc?.map(textOf).join() ?? '';
    /** @param {Node} node */
    const visit = (node) => {
      if (syntax.isPropertySignatureDeclaration(node) && !comment.includes(`\`${textOf(node.name)}\``)) {
        tell(node, `the comment of ${name} does not name \`${textOf(node.name)}\``);
      }
      node.forEachChild(visit);
    };
    visit(type);
  }

  /** The members of an interface, or of a type within one, as a list. */
  function membersOf(/** @type {readonly Node[]} */ members, /** @type {string} */ owner, indent = '') {
    /** @type {string[]} */
    const lines = [];
    for (const member of members) {
      if (syntax.isPropertySignatureDeclaration(member) && member.type !== undefined) {
        const { type } = member;
        const name = textOf(member.name).replaceAll("'", '');
        const isNested = syntax.isTypeLiteralNode(type) && textOf(type).includes('\n');
        const { text, tags } = commentOf(member, `${owner}.${name}`);
        lines.push(
          `${indent}- **\`${name}${member.postfixToken === undefined ? '' : '?'}\`**` +
            (isNested ? '' : ` (${typeOf(textOf(type))})`) +
            (text && `: ${inOneLine(text)}`),
          ...tags.map((tag) => `${indent}  ${tag}`),
        );
        if (isNested) lines.push(...membersOf(type.members, `${owner}.${name}`, `${indent}  `));
        else checkInline(type, member, `${owner}.${name}`);
      } else {
        const signature = inOneLine(textOf(member)).replace(/;$/, '');
        const { text, tags } = commentOf(member, `${owner}: ${signature}`);
        lines.push(
          `${indent}- **${typeOf(signature)}**: ${inOneLine(text)}`,
          ...tags.map((tag) => `${indent}  ${tag}`),
        );
      }
    }
    return lines;
  }

  /** @param {ClassDeclaration | InterfaceDeclaration} node */
  function extended(node) {
    const bases = node.heritageClauses?.flatMap(({ types }) => types.map((type) => typeOf(textOf(type))));
    return bases === undefined ? '' : ` extends ${bases.join(', ')}`;
  }

  /** @param {ClassDeclaration | InterfaceDeclaration} node @param {string} name */
  function headOf(node, name) {
    const { text, tags } = commentOf(node, name);
    return [`### ${name}`, text, tags.join('\n'), extended(node) && `It${extended(node)}.`];
  }

  /** A function, a method, a constructor, or a property of a class. */
  function callable(/** @type {Node} */ node, /** @type {string} */ heading, level = '###') {
    const { text, tags } = commentOf(node, heading);
    node.forEachChild((child) => {
      if (syntax.isParameterDeclaration(child) && child.type !== undefined) checkInline(child.type, node, heading);
    });
    const [first, ...rest] = textOf(node).split('\n');
    // The last line stands where the first does.
    const indent = /^ */.exec(rest.at(-1) ?? '')?.[0].length;
    const declared = [
      first.replace(/^(export )?function /, '').replace(/^constructor/, heading),
      ...rest.map((line) => line.slice(indent)),
    ].join('\n');
    const used = [...new Set(textOf(node).match(new RegExp(anyType, 'g')))];
    return [
      `${level} ${heading}`,
      `\`\`\`ts\n${declared}\n\`\`\``,
      text,
      tags.join('\n'),
      used.length === 0 ? '' : `Types: ${used.map((name) => link(name)).join(', ')}`,
    ];
  }

  /** @type {{ contents: string[], functions: string[], classes: string[], types: string[] }} */
  const parts = { contents: [], functions: [], classes: [], types: [] };
  /** @type {string[]} */
  const functionNames = [];
  for (const statement of source.statements) {
    if (syntax.isFunctionDeclaration(statement)) {
      const name = statement.name?.text ?? '';
      functionNames.push(name);
      parts.functions.push(...callable(statement, name));
    } else if (syntax.isModuleDeclaration(statement) && statement.body && syntax.isModuleBlock(statement.body)) {
      for (const inner of statement.body.statements) {
        if (!syntax.isFunctionDeclaration(inner)) {
          tell(inner, NO_PLACE);
          continue;
        }
        const name = `${textOf(statement.name)}.${inner.name?.text}`;
        functionNames.push(name);
        parts.functions.push(...callable(inner, name));
      }
    } else if (syntax.isClassDeclaration(statement)) {
      const name = statement.name?.text ?? '';
      const object = name.replace(/^[A-Z]+(?=[A-Z][a-z])|^[A-Z]/, (capitals) => capitals.toLowerCase());
      parts.classes.push(...headOf(statement, name));
      /** @type {string[]} */
      const links = [];
      for (const member of statement.members) {
        const declared = textOf(member);
        if (declared.startsWith('private ')) continue;
        let [heading, label] = [`new ${name}`, `new ${name}`];
        if (syntax.isMethodDeclaration(member) || syntax.isPropertyDeclaration(member)) {
          label = textOf(member.name);
          heading = `${declared.startsWith('static ') ? name : object}${label.startsWith('[') ? label : `.${label}`}`;
        } else if (!syntax.isConstructorDeclaration(member)) tell(member, NO_PLACE);
        links.push(link(heading, label));
        parts.classes.push(...callable(member, heading, '####'));
      }
      parts.contents.push(`- ${link(name)}${extended(statement)}: ${links.join(', ')}`);
    } else if (syntax.isInterfaceDeclaration(statement)) {
      const name = statement.name.text;
      parts.types.push(...headOf(statement, name));
      parts.types.push(membersOf(statement.members, name).join('\n'));
    } else if (syntax.isTypeAliasDeclaration(statement)) {
      const name = statement.name.text;
      const { text, tags } = commentOf(statement, name);
      parts.types.push(`### ${name}`, typeOf(textOf(statement.type)), text, tags.join('\n'));
    } else if (!syntax.isImportDeclaration(statement)) {
      tell(statement, NO_PLACE);
    }
  }

  const page = [
    HEAD,
    '## Contents',
    [
      `- Functions: ${functionNames.map((name) => link(name)).join(', ')}`,
      ...parts.contents,
      `- Types: ${parts.types
        .flatMap((part) => /^### (\w+)$/.exec(part)?.[1] ?? [])
        .map((name) => link(name))
        .join(', ')}`,
    ].join('\n'),
    '## Functions',
    ...parts.functions,
    '## Classes',
    ...parts.classes,
    '## Types',
    ...parts.types,
  ];
  const anchors = page.flatMap((part) => /^#+ (.+)$/.exec(part)?.[1] ?? []).map(anchorOf);
  for (const anchor of new Set(anchors.filter((each, index) => anchors.indexOf(each) !== index))) {
    problems.push(`${DECLARATIONS}: several headings of the reference have the anchor ${anchor}`);
  }
  return { page: `${page.filter((part) => part !== '').join('\n\n')}\n`, problems };
}

async function main() {
  const { API } = await import('typescript/unstable/sync');
  const syntax = await import('typescript/unstable/ast');
  const compiler = new API({ cwd: REPOSITORY });
  try {
    const snapshot = compiler.updateSnapshot({ openProject: path.join(REPOSITORY, 'tsconfig.json') });
    const source = snapshot.getProjects()[0].program.getSourceFile(path.join(REPOSITORY, DECLARATIONS));
    if (source === undefined) throw new Error(`tsconfig.json does not include ${DECLARATIONS}`);
    const { page, problems } = referenceOf(source, syntax);
    for (const problem of problems) console.error(problem);
    if (problems.length > 0) process.exitCode = 1;
    else fs.writeFileSync(path.join(REPOSITORY, REFERENCE), page);
  } finally {
    compiler.close();
  }
}

main();
