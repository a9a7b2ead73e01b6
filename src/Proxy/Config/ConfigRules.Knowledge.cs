namespace Proxy.Config;

internal static partial class ConfigRules
{
    private static IEnumerable<ConfigProblem> Knowledge(KnowledgeConfig knowledge)
    {
        for (var i = 0; i < knowledge.Listed.Count; i++)
        {
            var pair = knowledge.Listed[i];
            var mark = pair.LastIndexOf('#');
            if (mark < 1 || mark == pair.Length - 1)
                yield return new($"knowledge.listed[{i}]", 0, $"\"{pair}\" is not a pair; write \"MODEL#WORKSPACE\", for example \"qwen3:8b#docs\"");
            else if (PatternProblem(pair) is { } problem) yield return new($"knowledge.listed[{i}]", 0, problem);
        }
    }
}
