import { defineConfig } from 'vitepress';

const repository = 'https://github.com/overhear/overhear';

// Pages are read in the repository too, where links lead out of this folder.
const outside = /^(?:\.\.\/)+((?:adapters|bench|plugins|tests|examples|sdk-js|wit|README|CHANGELOG|CONTRIBUTING).*)$/;

export default defineConfig({
  title: 'overhear',
  description: 'A task runner for JavaScript monorepos that never runs a task twice for nothing',
  srcExclude: ['node_modules/**'],
  cleanUrls: true,
  // Links out of this folder lead into the repository; a test holds that what they name is there.
  ignoreDeadLinks: [/^\.?\/?(?:\.\.\/)+(?:adapters|bench|plugins|tests|examples|sdk-js|wit|README|CHANGELOG|CONTRIBUTING)/],
  markdown: {
    config(md) {
      const open = md.renderer.rules.link_open ?? ((tokens, at, options, _, self) => self.renderToken(tokens, at, options));
      md.renderer.rules.link_open = (tokens, at, options, env, self) => {
        const found = outside.exec(tokens[at].attrGet('href') ?? '');
        if (found) tokens[at].attrSet('href', `${repository}/blob/main/${found[1]}`);
        return open(tokens, at, options, env, self);
      };
    },
  },
  themeConfig: {
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: repository }],
    sidebar: [
      {
        text: 'Use it',
        items: [
          { text: 'Start in two minutes', link: '/start' },
          { text: 'How it knows', link: '/how-it-knows' },
          { text: 'Commands', link: '/commands' },
          { text: 'Configuration', link: '/config' },
          { text: 'Continuous integration', link: '/ci' },
          { text: 'What it cannot know', link: '/limits' },
          { text: 'Messages', link: '/messages' },
          { text: 'Questions', link: '/faq' },
        ],
      },
      {
        text: 'Come from another runner',
        items: [
          { text: 'Compared', link: '/comparison' },
          ...['turbo', 'nx', 'moon', 'wireit', 'lage', 'vite-task'].map((name) => ({ text: name, link: `/migrate/${name}` })),
        ],
      },
      {
        text: 'Reference',
        items: [
          { text: 'Adapters', link: '/adapters' },
          { text: 'Protocol', link: '/protocol' },
          { text: 'Cache format', link: '/cache-format' },
          { text: 'Tracing', link: '/tracing' },
          { text: 'Words', link: '/glossary' },
          { text: 'How it is built', link: '/ARCHITECTURE' },
        ],
      },
    ],
  },
});
