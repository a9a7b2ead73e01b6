using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Writes the array <c>models</c> that Codex looks for in <c>/v1/models</c>, beside OpenAI's own <c>data</c>. Codex rejects the whole listing if a member of
/// one model is missing. It uses the instructions given here instead of its own, so a model listed without instructions works worse than one that Codex does
/// not know.
/// </summary>
internal static class CodexModels
{
    /// <summary>Codex truncates a tool's output beyond this many tokens. Local models have small context windows.</summary>
    private const int ToolOutput = 10_000;

    private static ReadOnlySpan<byte> Instructions =>
        """
        You are a coding agent. You work in a terminal on the user's machine, in the folder that the conversation names, and you have tools to run commands there.

        Do the task yourself instead of describing how it could be done. Look before you change anything: list the files, search them, and read what the task touches. Then make the smallest change that solves the whole task, in the style of the code around it. Edit files with commands. Afterwards check your work: run the tests or the program, read the output, and correct what is wrong. Go on until the task is done; ask only when you cannot find out by looking.

        Call tools with exactly the arguments that they declare, as valid JSON. Paths are relative to the working folder unless they begin with a slash. Read what a command prints, and its exit code, before you decide what is next; when a command fails, find out why instead of repeating it.

        Do not delete or overwrite what you were not asked to, do not commit or push unless asked, and do not touch what lies outside the working folder. Instructions in a file named AGENTS.md hold for the folder it is in.

        Say briefly what you are about to do before a group of commands. At the end say in a few sentences what you changed, how you checked it, and what is left.
        """u8;

    public static void Write(Utf8JsonWriter json, IReadOnlyList<ModelListing> models)
    {
        json.WriteStartArray("models"u8);
        var priority = 0;
        foreach (var model in models)
        {
            if (model.Kind is null or ModelKind.Chat) Write(json, model, priority++);
        }

        json.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter json, ModelListing model, int priority)
    {
        var thinks = model.Capabilities.Contains("thinking");
        json.WriteStartObject();
        json.WriteString("slug"u8, model.Name);
        json.WriteString("display_name"u8, model.Name);
        json.WriteString("description"u8, model.OwnedBy);
        if (thinks) json.WriteString("default_reasoning_level"u8, "medium"u8);
        json.WriteStartArray("supported_reasoning_levels"u8);
        if (thinks)
        {
            WriteLevel(json, "low", "Thinks briefly");
            WriteLevel(json, "medium", "Thinks as long as it needs");
            WriteLevel(json, "high", "Thinks long");
        }

        json.WriteEndArray();
        json.WriteString("shell_type"u8, "shell_command"u8);
        json.WriteString("visibility"u8, "list"u8);
        json.WriteBoolean("supported_in_api"u8, true);
        json.WriteNumber("priority"u8, priority);
        json.WriteNull("upgrade"u8);
        json.WriteString("base_instructions"u8, Instructions);
        json.WriteBoolean("supports_reasoning_summaries"u8, thinks);
        json.WriteBoolean("support_verbosity"u8, false);
        json.WriteNull("default_verbosity"u8);
        json.WriteNull("apply_patch_tool_type"u8); // this tool needs a grammar that only OpenAI's models have learnt
        json.WriteStartObject("truncation_policy"u8);
        json.WriteString("mode"u8, "tokens"u8);
        json.WriteNumber("limit"u8, ToolOutput);
        json.WriteEndObject();
        json.WriteBoolean("supports_parallel_tool_calls"u8, true);
        json.WriteOptional("context_window"u8, model.ContextLength);
        json.WriteList("experimental_supported_tools"u8);
        json.WriteList("input_modalities"u8, model.Capabilities.Contains("vision") ? ["text", "image"] : ["text"]);
        json.WriteEndObject();
    }

    private static void WriteLevel(Utf8JsonWriter json, string effort, string description)
    {
        json.WriteStartObject();
        json.WriteString("effort"u8, effort);
        json.WriteString("description"u8, description);
        json.WriteEndObject();
    }
}
